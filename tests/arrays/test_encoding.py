"""From inputs to voltages: scaled, made undone, converted, and as far as the devices' current laws let them act."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from membench import ADC, DAC, Conversion, InputScaling, Scheme, StanfordPKU
from membench.arrays import MemristiveLayer
from membench.arrays.encoding import Encoding, acting
from membench.arrays.geometry import matrix_of
from membench.devices import LookUp, Sinh
from membench.runtime import pinned_threads

LIMIT = 0.5
SHAPES = {"vectors": (6, 9), "signals": (6, 2, 9), "images": (6, 3, 5, 4), "volumes": (6, 2, 3, 4, 5)}
EACH_SHAPE = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
Per = Literal["memtorch", "image", "batch"]


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Layers as small as these are slower on more."""
    with pinned_threads(1):
        yield


def encoding(per: Per = "image", *, undone: bool = True, bits: int | None = None, **others: Any) -> Encoding:
    dac = None if bits is None else DAC(bits=bits)
    scaling = InputScaling(undone=undone, per=per)
    return Encoding(**{"limit": LIMIT, "scaling": scaling, "one_scale": per == "batch", "dac": dac, **others})


def inputs(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    """Images of growing magnitude: the first ones are within the limit, and so is all of the third but for its sign."""
    x = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    tops = torch.tensor([0.1, 0.4999, 0.5, 0.7, 3.0, 100.0])
    x = x / x.flatten(1).abs().amax(1).view(-1, *[1] * (len(shape) - 1))
    return x * tops.view(-1, *[1] * (len(shape) - 1))


def top(x: Tensor) -> Tensor:
    return x.flatten(1).abs().amax(1)


# --- scaling -----------------------------------------------------------------------------------------------------------------


@EACH_SHAPE
def test_each_image_has_its_own_scale_and_those_within_the_limit_none(shape: tuple[int, ...]) -> None:
    x = inputs(shape)
    voltages, factor = encoding()(x)
    assert factor is not None
    assert factor.shape == (6, *[1] * (len(shape) - 1))
    torch.testing.assert_close(factor.flatten(), torch.tensor([1, 1, 1, 1.4, 6, 200]))
    assert torch.equal(voltages[:2], x[:2])
    torch.testing.assert_close(voltages * factor, x)
    torch.testing.assert_close(top(voltages)[2:], torch.full((4,), LIMIT))
    assert float(top(voltages).max()) <= LIMIT


@EACH_SHAPE
def test_a_batch_has_the_scale_of_its_largest_input(shape: tuple[int, ...]) -> None:
    x = inputs(shape)
    voltages, factor = encoding("batch")(x)
    assert factor is not None
    assert factor.shape == ()
    assert float(factor) == pytest.approx(200.0)
    torch.testing.assert_close(voltages, x / 200)


@pytest.mark.parametrize("per", ["image", "batch"])
@EACH_SHAPE
def test_nothing_is_scaled_where_all_are_within_the_limit(shape: tuple[int, ...], per: Per) -> None:
    x = inputs(shape)[:2]
    for undone in (True, False):
        voltages, factor = encoding(per, undone=undone)(x)
        assert factor is None
        assert torch.equal(voltages, x)


@pytest.mark.parametrize("per", ["image", "batch"])
def test_a_scale_that_is_not_undone_is_not_told(per: Per) -> None:
    undone, not_undone = (encoding(per, undone=choice)(inputs((6, 9))) for choice in (True, False))
    assert torch.equal(undone[0], not_undone[0])
    assert undone[1] is not None
    assert not_undone[1] is None


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("per", ["image", "batch"])
def test_the_largest_magnitude_counts_whatever_its_sign(per: Per, sign: int) -> None:
    x = torch.tensor([[0.1, sign * 2.0, -sign * 0.3]])
    voltages, factor = encoding(per)(x)
    torch.testing.assert_close(voltages, x / 4)
    assert factor is not None
    assert float(factor) == pytest.approx(4.0)


def test_without_a_limit_inputs_are_voltages() -> None:
    x = inputs((6, 9))
    voltages, factor = encoding(limit=None)(x)
    assert voltages is x
    assert factor is None


@pytest.mark.parametrize("per", ["memtorch", "image", "batch"])
@EACH_SHAPE
def test_a_scale_that_is_undone_before_anything_sees_it_is_left_out(shape: tuple[int, ...], per: Per) -> None:
    x = inputs(shape)
    voltages, factor = encoding(per, linear=True)(x)
    assert voltages is x
    assert factor is None


@pytest.mark.parametrize("change", [{"undone": False}, {"bits": 8}, {"laws": (Sinh(0.3, 0.3),)}, {"linear": False}], ids=str)
def test_what_sees_the_size_of_voltages_sees_them_scaled(change: dict[str, Any]) -> None:
    voltages, _ = encoding(**{"linear": True, **change})(inputs((6, 9)))
    assert float(voltages[-1].abs().max()) < 1.0


def test_inputs_stay_as_they_are() -> None:
    x = inputs((6, 9))
    before = x.clone()
    for one in (
        encoding(),
        encoding("batch"),
        encoding(bits=4),
        encoding(laws=(Sinh(0.3, 0.3), LookUp((-1.0, 1.0), (0.0, 1.0)))),
    ):
        one(x)
        assert torch.equal(x, before)


def test_an_image_of_zeros_stays_one() -> None:
    for per in ("image", "batch"):
        voltages, _ = encoding(per, bits=4)(torch.stack([torch.zeros(9), torch.ones(9)]))
        assert torch.equal(voltages[0], torch.zeros(9))


def test_an_image_s_voltages_do_not_depend_on_the_others_unless_a_batch_has_one_scale() -> None:
    x = inputs((6, 3, 5, 4))
    alone = encoding()(x[3:4])[0]
    assert torch.equal(encoding()(x)[0][3:4], alone)
    assert not torch.equal(encoding("batch")(x)[0][3:4], alone)


# --- of a conversion ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("one_scale", [True, False])
def test_memtorchs_choice_is_the_layers_and_any_other_one_is_taken(one_scale: bool) -> None:
    conversion = Conversion(max_input_voltage=LIMIT)
    for per, expected in (("memtorch", one_scale), ("image", False), ("batch", True)):
        made = Encoding.of(conversion.replace(scaling=InputScaling(per=per)), one_scale)
        assert made.one_scale is expected
        assert made.limit == LIMIT


@pytest.mark.parametrize(
    ("digital", "one_scale"),
    [(nn.Linear(4, 3), True), (nn.Conv1d(2, 3, 2), True), (nn.Conv2d(2, 3, 2), False), (nn.Conv3d(2, 3, 2), False)],
)
def test_which_layers_have_one_scale_in_memtorch(digital: nn.Module, one_scale: bool) -> None:
    assert MemristiveLayer(digital, Conversion(max_input_voltage=LIMIT)).encoding.one_scale is one_scale


def test_an_adc_sees_the_size_of_currents() -> None:
    assert Encoding.of(Conversion(), True).linear
    assert not Encoding.of(Conversion(adc=ADC(bits=8)), True).linear


@pytest.mark.parametrize(
    ("changes", "memtorchs"),
    [
        ({}, True),
        ({"adc": ADC(bits=8)}, True),
        ({"dac": DAC(bits=8)}, False),
        ({"scaling": InputScaling(undone=True)}, False),
        ({"scaling": InputScaling(per="image")}, False),
    ],
    ids=str,
)
def test_memtorchs_own_scaling_is_left_to_the_product(changes: dict[str, Any], memtorchs: bool) -> None:
    made = Encoding.of(Conversion(max_input_voltage=LIMIT).replace(**changes), True)
    assert made.memtorchs is memtorchs
    assert not dataclasses.replace(made, laws=(Sinh(0.3, 0.3),)).memtorchs


# --- the DAC -----------------------------------------------------------------------------------------------------------------


@settings(max_examples=40)
@given(bits=st.integers(2, 16), limit=st.floats(0.01, 100.0), seed=st.integers(0, 99))
def test_levels_are_few_even_and_symmetric_with_0_among_them(bits: int, limit: float, seed: int) -> None:
    made = encoding(bits=bits, limit=limit, undone=False)
    x = (torch.rand(1, 1000, generator=torch.Generator().manual_seed(seed)) * 2 - 1) * limit
    x[0, :3] = torch.tensor([limit, -limit, 0.0])
    voltages, _ = made(x)
    step = limit / (2 ** (bits - 1) - 1)
    codes = voltages.double() / step
    torch.testing.assert_close(codes, codes.round(), rtol=0, atol=1e-6 * 2**bits)
    assert len(torch.unique(codes.round())) <= 2**bits - 1
    assert int(codes.abs().max().round()) == 2 ** (bits - 1) - 1
    assert float((voltages - x).abs().max()) <= step / 2 * (1 + 1e-4) + 1e-6 * limit
    assert voltages[0, 2] == 0
    assert torch.equal(made(-x)[0], -voltages)
    assert torch.equal(made(voltages)[0], voltages)


@pytest.mark.parametrize("bits", range(2, 13))
def test_what_is_a_level_stays_one(bits: int) -> None:
    made = encoding(bits=bits)
    levels = torch.linspace(-LIMIT, LIMIT, 2**bits - 1).view(1, -1)
    voltages, _ = made(levels)
    torch.testing.assert_close(voltages, levels, rtol=1e-6, atol=1e-7)
    assert torch.equal(made(voltages)[0], voltages)
    assert len(torch.unique(voltages)) == 2**bits - 1


def test_two_bits_are_three_levels() -> None:
    x = torch.tensor([[-0.5, -0.26, -0.24, 0.0, 0.24, 0.26, 0.5]])
    assert encoding(bits=2)(x)[0].tolist() == [[-0.5, -0.5, 0.0, 0.0, 0.0, 0.5, 0.5]]


def test_a_converter_comes_after_the_scale_and_before_the_law() -> None:
    x, law = torch.tensor([[2.0, 0.9, 0.3]]), Sinh(0.4, 0.2)
    voltages, factor = encoding(bits=3, laws=(law,))(x)
    steps = torch.tensor([[3.0, 1.0, 0.0]]) * LIMIT / 3  # of 0.5, 0.225 and 0.075 V
    torch.testing.assert_close(voltages, torch.from_numpy(law(steps.numpy())).float())
    assert factor is not None
    assert float(factor) == pytest.approx(4.0)


# --- current laws ------------------------------------------------------------------------------------------------------------

EVEN = LookUp(tuple(np.linspace(-0.5, 0.5, 33).tolist()), tuple((np.linspace(-0.5, 0.5, 33) ** 3).tolist()))
LAWS = {
    "sinh": Sinh(0.3, 0.3),
    "steep": Sinh(1e-3, 0.05),
    "device": StanfordPKU().law,
    "even": EVEN,
    "two points": LookUp((-0.5, 0.5), (-1.0, 2.0)),
    "uneven": LookUp((-0.5, -0.1, 0.0, 0.3, 0.31), (-1.0, -0.05, 0.1, 0.7, -0.4)),
    "nearly even": LookUp((-0.5, -0.25, 0.0, 0.2505, 0.5), (-1.0, -0.05, 0.1, 0.7, -0.4)),
    "fine": LookUp(tuple(np.linspace(-0.5, 0.5, 65_536).tolist()), tuple(np.sinh(np.linspace(-2, 2, 65_536)).tolist())),
}


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
def test_what_acts_is_what_the_law_says(law: Any) -> None:
    """In single precision, and beyond the ends of a table."""
    x = torch.cat([torch.linspace(-0.7, 0.7, 5001), torch.tensor([-9.0, 9.0, 0.5, -0.5, 0.0, -0.0, 1e-30])])
    if isinstance(law, Sinh):
        x = x.clamp(-0.7, 0.7)
    found, expected = acting(law, x).double().numpy(), law(x.double().numpy())
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-5 * np.abs(expected).max())
    assert acting(law, x).dtype == torch.float32


@pytest.mark.parametrize("law", LAWS.values(), ids=LAWS)
@EACH_SHAPE
def test_voltages_of_any_shape_and_memory(law: Any, shape: tuple[int, ...]) -> None:
    x = encoding()(inputs(shape))[0].transpose(0, 1)
    before = x.clone()
    assert torch.equal(acting(law, x), acting(law, x.contiguous()))
    assert torch.equal(x, before)


@settings(max_examples=60)
@given(
    points=st.lists(st.floats(-2.0, 2.0, width=32), min_size=2, max_size=20, unique_by=lambda value: round(value, 2)),
    values=st.lists(st.floats(-5.0, 5.0, width=32), min_size=20, max_size=20),
)
def test_any_table_is_numpys_interpolation(points: list[float], values: list[float]) -> None:
    points = sorted(points)
    law = LookUp(tuple(points), tuple(values[: len(points)]))
    x = torch.cat([torch.linspace(-2.5, 2.5, 301), torch.tensor(points)])
    expected = np.interp(x.double().numpy(), law.voltages, law.values)
    np.testing.assert_allclose(acting(law, x).double().numpy(), expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("points", [2, 3, 5, 100, 4096])
def test_even_tables_are_right_at_and_around_each_point(points: int) -> None:
    """No search is made there: rounding must not take the wrong piece where two meet."""
    table = np.linspace(-0.3, 0.3, points)
    law = LookUp(tuple(table.tolist()), tuple(np.abs(table).tolist()))
    at = torch.from_numpy(table).float()
    for x in (at, torch.nextafter(at, torch.tensor(9.0)), torch.nextafter(at, torch.tensor(-9.0))):
        np.testing.assert_allclose(acting(law, x).numpy(), np.interp(x.numpy(), law.voltages, law.values), atol=1e-6)


def test_laws_act_one_after_the_other() -> None:
    x = inputs((6, 9))[:3]
    one, two = LAWS["sinh"], LAWS["uneven"]
    voltages, _ = encoding(laws=(one, two))(x)
    assert torch.equal(voltages, acting(two, acting(one, x)))
    assert not torch.equal(voltages, acting(one, acting(two, x)))


# --- in a layer --------------------------------------------------------------------------------------------------------------

DIGITAL = {
    "Linear": (nn.Linear(9, 5), (6, 9)),
    "Conv1d": (nn.Conv1d(2, 5, 3), (6, 2, 9)),
    "Conv2d": (nn.Conv2d(3, 5, 3, padding=1), (6, 3, 5, 4)),
    "Conv3d": (nn.Conv3d(2, 5, 2), (6, 2, 3, 4, 5)),
}
EACH_LAYER = pytest.mark.parametrize(("digital", "shape"), DIGITAL.values(), ids=DIGITAL)


def layer(digital: nn.Module, **changes: Any) -> MemristiveLayer:
    """A layer whose devices hold the weights, with gain and offset."""
    made = MemristiveLayer(digital, Conversion(max_input_voltage=LIMIT).replace(**changes)).eval()
    low, high = made.conductance_min, made.conductance_max
    scale = (high - low) / made.weight.abs().max()
    parts = (made.weight.clamp(min=0), (-made.weight).clamp(min=0))[: made.crossbars]
    made.program([low + scale * matrix_of(part) for part in parts])
    made.gain, made.offset = 1 / scale, torch.tensor(0.125)
    return made


def expected(digital: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return digital(x) + 0.125  # type: ignore[no-any-return]


@EACH_LAYER
@pytest.mark.parametrize("per", ["memtorch", "image", "batch"])
@pytest.mark.parametrize("tile", [None, (4, 4)])
def test_an_undone_scale_leaves_exact_outputs_alone(
    digital: nn.Module, shape: tuple[int, ...], per: Per, tile: tuple[int, int] | None
) -> None:
    made = layer(digital, scaling=InputScaling(undone=True, per=per), tile_shape=tile)
    torch.testing.assert_close(made(inputs(shape)), expected(digital, inputs(shape)), rtol=1e-4, atol=1e-5)


@EACH_LAYER
@pytest.mark.parametrize("per", ["image", "batch"])
def test_a_scale_that_stays_divides_all_but_bias_and_offset(digital: nn.Module, shape: tuple[int, ...], per: Per) -> None:
    made, x = layer(digital, scaling=InputScaling(per=per)), inputs(shape)
    factor = (top(x) / LIMIT).clamp(min=1) if per == "image" else top(x).max().expand(6) / LIMIT
    zero = expected(digital, torch.zeros_like(x))
    scaled = zero + (expected(digital, x) - zero) / factor.view(-1, *[1] * (zero.ndim - 1))
    torch.testing.assert_close(made(x), scaled, rtol=1e-4, atol=1e-5)


@EACH_LAYER
@pytest.mark.parametrize("scheme", Scheme)
def test_undone_behind_fine_converters_nearly_nothing_is_lost(
    digital: nn.Module, shape: tuple[int, ...], scheme: Scheme
) -> None:
    """The scale is undone after the ADC, on the product only: not on bias and offset."""
    exact, x = layer(digital, scheme=scheme, max_input_voltage=None), inputs(shape)
    for per in ("memtorch", "image", "batch"):
        made = layer(digital, scheme=scheme, adc=ADC(bits=16), dac=DAC(bits=16), scaling=InputScaling(undone=True, per=per))
        assert not made.encoding.linear
        error = (made(x) - exact(x)).abs().amax() / exact(x).abs().amax()
        assert 0 < float(error) < 1e-3


@EACH_LAYER
def test_each_image_has_its_resolution_where_each_has_its_scale(digital: nn.Module, shape: tuple[int, ...]) -> None:
    """With one scale a batch, the image of the largest inputs takes the levels of a DAC from all others."""
    x, error = inputs(shape), {}
    for per in ("image", "batch"):
        made = layer(digital, dac=DAC(bits=6), scaling=InputScaling(undone=True, per=per))
        error[per] = (made(x) - expected(digital, x))[3].norm()
    assert error["batch"] > 5 * error["image"]


def test_a_law_acts_on_every_layer_s_voltages() -> None:
    digital, shape = DIGITAL["Linear"]
    x, law = inputs(shape)[:3], Sinh(0.3, 0.3)
    made = layer(digital)
    made.add_law(law)
    torch.testing.assert_close(made(x), expected(digital, acting(law, x)), rtol=1e-4, atol=1e-5)
    made.add_law(law)
    torch.testing.assert_close(made(x), expected(digital, acting(law, acting(law, x))), rtol=1e-4, atol=1e-5)


def test_an_empty_batch_is_not_encoded() -> None:
    made = layer(DIGITAL["Linear"][0], dac=DAC(bits=4), scaling=InputScaling(undone=True, per="image"))
    assert made(torch.zeros(0, 9)).shape == (0, 5)
