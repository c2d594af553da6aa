"""What was planned is compared with what the network executes: no product of activations with weights stays digital in silence."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from simulators import SIMULATORS, usable
from torch import Tensor, nn

import membench
from membench import ADC, STUDY_DEVICE, Conversion, DeviceFaults, Profile, Tuning
from membench.arrays import MemristiveLayer
from membench.engines import ENGINES, Batches, Plan
from membench.errors import NotConvertedError, UnsupportedError

LIGHT = Tuning(conv_images=2, conv_size=12, linear_rows=64)
HARSH = Profile(
    name="harsh",
    source="here",
    conversion=Conversion(tile_shape=(8, 8), adc=ADC(bits=2), max_input_voltage=1.0, tuning=LIGHT),
    nonidealities=(DeviceFaults(lrs_proportion=0.4, hrs_proportion=0.4),),
)
VECTORS = torch.rand(4, 8, generator=torch.Generator().manual_seed(0))


def plan(model: nn.Module, sample: Any = VECTORS, engine: str = "vectorized", **conversion: Any) -> Plan:
    return ENGINES.get(engine).plan(model, Conversion(tuning=LIGHT, **conversion), (), sample)


class Net(nn.Module):
    """Two layers; subclasses differ in how they are called."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(F.relu(self.a(x)))


# --- layers that the forward does not call by their names --------------------------------------------------------------------


class List(Net):
    def __init__(self) -> None:
        super().__init__()
        self.steps = [self.a, nn.ReLU(), self.b]

    def forward(self, x: Tensor) -> Tensor:
        return functools.reduce(lambda y, step: step(y), self.steps, x)


class Dict(Net):
    def __init__(self) -> None:
        super().__init__()
        self.steps = {"first": [self.a], "then": (self.b,)}

    def forward(self, x: Tensor) -> Tensor:
        return self.steps["then"][0](F.relu(self.steps["first"][0](x)))


class Partial(Net):
    def __init__(self) -> None:
        super().__init__()
        self.head = functools.partial(self.b)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.a(x)))


class Plainly(Net):
    """Calls forward itself, past torch's hooks."""

    def forward(self, x: Tensor) -> Tensor:
        return self.b.forward(F.relu(self.a.forward(x)))


class Sizes(Net):
    """Asks its layers for their sizes."""

    def forward(self, x: Tensor) -> Tensor:
        return self.b(F.relu(self.a(x.view(-1, self.a.in_features))).view(-1, self.b.in_features))


@pytest.mark.parametrize("kind", [List, Dict, Partial, Plainly, Sizes])
@pytest.mark.parametrize("sample", [None, VECTORS], ids=["", "sample"])
def test_layers_in_lists_and_other_objects_are_converted(kind: type[Net], sample: Tensor | None) -> None:
    """MemTorch's crossbars were made for them, and the digital layers computed on: 80 % stuck devices changed no bit."""
    wanted, found = (membench.convert(one, HARSH, sample=sample, verbose=False) for one in (Net(), kind()))
    assert torch.equal(wanted(VECTORS), found(VECTORS))
    assert not torch.allclose(found(VECTORS), kind()(VECTORS))


class Lambda(Net):
    def __init__(self) -> None:
        super().__init__()
        self.head = lambda x: self.b(F.relu(x))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.a(x))


class Closure(Net):
    def __init__(self) -> None:
        super().__init__()
        first, second = self.a, self.b

        def steps(x: Tensor) -> Tensor:
            return second(F.relu(first(x)))

        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        return self.steps(x)


class Bound(Net):
    def __init__(self) -> None:
        super().__init__()
        self.steps = [self.a.forward, F.relu, self.b.forward]

    def forward(self, x: Tensor) -> Tensor:
        return functools.reduce(lambda y, step: step(y), self.steps, x)


@pytest.mark.parametrize("kind", [Lambda, Closure, Bound])
@pytest.mark.parametrize("engine", ["vectorized", "memtorch", *SIMULATORS])
def test_layers_that_a_function_holds_are_refused(kind: type[Net], engine: str) -> None:
    with pytest.raises(UnsupportedError, match=r"addmm with [ab].weight at \w+.py:\d+, outside of every (converted )?layer"):
        plan(kind(), engine=usable(engine), device=STUDY_DEVICE, tile_shape=(8, 8))


@pytest.mark.parametrize("kind", [Lambda, Closure])
def test_without_a_sample_the_first_batch_tells(kind: type[Net]) -> None:
    converted = membench.convert(kind(), HARSH, verbose=False)
    for _ in range(2):  # it does not pass by trying again
        with pytest.raises(NotConvertedError, match=r"addmm with .*test_executed.py:\d+, outside of every converted layer"):
            converted(VECTORS)


def test_what_passed_is_not_looked_at_again() -> None:
    converted = membench.convert(Net(), HARSH, verbose=False)
    assert "forward" in vars(converted)
    first = converted(VECTORS)
    assert "forward" not in vars(converted)
    assert torch.equal(first, converted(VECTORS))
    with torch.inference_mode():
        assert torch.equal(first, membench.convert(Net(), HARSH, verbose=False)(VECTORS))


def test_a_compiled_network_is_converted_as_the_network_that_was_compiled() -> None:
    wanted, found = (
        membench.convert(one, HARSH, sample=VECTORS, verbose=False) for one in (Net(), torch.compile(Net(), backend="eager"))
    )
    assert [name for name, _ in found.named_modules()] == ["", "a", "b"]
    assert torch.equal(wanted(VECTORS), found(VECTORS))


def test_a_layer_without_a_shape_yet_is_refused_with_the_remedy() -> None:
    model = nn.Sequential(nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 3))
    with pytest.raises(UnsupportedError, match=r"0 \(LazyLinear\): its parameters have no shape yet"):
        plan(model)
    model(VECTORS)
    assert [layer.name for layer in plan(model).layers] == ["0", "2"]


# --- products beside the layers ----------------------------------------------------------------------------------------------


class Tied(Net):
    """A decoder with the encoder's weights."""

    def forward(self, x: Tensor) -> Tensor:
        return self.b(F.linear(torch.tanh(self.a(x)), self.a.weight.t()))


class Reservoir(Net):
    """An echo-state network: its recurrent weights are a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("w_res", torch.randn(8, 8) / 8)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.tanh(self.a(x))
        for _ in range(2):
            h = torch.tanh(h @ self.w_res)
        return self.b(h)


class Attention(Net):
    """Products of activations with activations."""

    def forward(self, x: Tensor) -> Tensor:
        q = F.relu(self.a(x))
        return self.b(torch.softmax(q @ q.T, -1) @ q)


class Fused(Net):
    def forward(self, x: Tensor) -> Tensor:
        q = F.relu(self.a(x)).view(1, 1, -1, 8)
        return self.b(F.scaled_dot_product_attention(q, q, q).view(-1, 8))


class Elementwise(Net):
    """A matrix product that no operator of that name computes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mix", torch.randn(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.b((self.a(x).unsqueeze(1) * self.mix).sum(-1))


class Loop(Net):
    """The same in parts, with plain tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.rows = list(torch.randn(8, 8).unbind())

    def forward(self, x: Tensor) -> Tensor:
        y = self.a(x)
        return self.b(torch.stack([(y * row).sum(-1) for row in self.rows], -1))


class Distances(Net):
    """Radial basis functions: differences with a matrix of centres."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("centres", torch.randn(8, 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.exp(-(self.a(x).unsqueeze(1) - self.centres).abs().sum(-1)))


class Numpy(Net):
    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.a(x))
        return self.b(torch.from_numpy(y.numpy() @ self.a.weight.detach().numpy()))


class Convolved(nn.Module):
    """A fixed filter in front."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 2, 3)
        self.register_buffer("blur", torch.ones(1, 1, 3, 3) / 9)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.conv2d(x, self.blur, padding=1))


IMAGES = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
OUTSIDE: list[tuple[Callable[[], nn.Module], Tensor, str]] = [
    (Tied, VECTORS, r"the network itself: mm with a.weight at test_executed.py:\d+"),
    (Reservoir, VECTORS, "the network itself: mm with w_res"),
    (Attention, VECTORS, "the network itself: mm"),
    (Fused, VECTORS, "the network itself: _?scaled_dot_product"),
    (Elementwise, VECTORS, "the network itself: mul with mix"),
    (Loop, VECTORS, "the network itself: mul and sum with a matrix that is no parameter"),
    (Distances, VECTORS, "the network itself: sub with centres"),
    (Convolved, IMAGES, "the network itself: convolution with blur"),
]


@pytest.mark.parametrize(("build", "sample", "said"), OUTSIDE, ids=lambda value: getattr(value, "__name__", ""))
def test_a_product_outside_of_every_layer_is_refused_by_name(build: Callable[[], nn.Module], sample: Tensor, said: str) -> None:
    with pytest.raises(UnsupportedError, match=said) as error:
        plan(build(), sample)
    assert "keep_digital: ':products'" in str(error.value)


@pytest.mark.parametrize(("build", "sample", "said"), OUTSIDE, ids=lambda value: getattr(value, "__name__", ""))
def test_or_it_is_listed_where_the_case_says_so(build: Callable[[], nn.Module], sample: Tensor, said: str) -> None:
    assert plan(build(), sample, keep_digital=(":products",)).digital == (":products",)
    converted = membench.convert(build(), Conversion(tuning=LIGHT, keep_digital=(":products",)), sample=sample, verbose=False)
    torch.testing.assert_close(converted(sample), build()(sample), rtol=1e-3, atol=1e-4)


def test_a_buffer_may_be_kept_digital_by_name() -> None:
    assert plan(Reservoir(), keep_digital=("w_res",)).digital == ("w_res",)


def test_activations_that_leave_torch_are_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"Tensor.numpy at test_executed.py:\d+ takes activations out of torch"):
        plan(Numpy())


def test_dynamic_quantised_modules_are_refused() -> None:
    """They hold no parameters, so that nothing told of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = torch.ao.quantization.quantize_dynamic(nn.Sequential(Net(), nn.Linear(3, 3)), {"0.b"}, dtype=torch.qint8)
    with pytest.raises(UnsupportedError, match=r"0\.b: linear_dynamic"):
        plan(model)
    assert plan(model, keep_digital=("0.b",)).digital == ("0.b",)


# --- what is no product ------------------------------------------------------------------------------------------------------


class Positions(Net):
    """A position embedding, a mask, and a scale of each feature: a matrix that adds is listed."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("position", torch.randn(4, 8))
        self.register_buffer("mask", torch.rand(4, 8) > 0.5)
        self.gamma = nn.Parameter(torch.rand(1, 8))

    def forward(self, x: Tensor) -> Tensor:
        y = (self.a(x) + self.position[: len(x)]).masked_fill(self.mask[: len(x)], 0.0)
        return self.b(F.layer_norm(y, (8,)) * self.gamma)


def test_matrices_that_multiply_nothing_are_listed() -> None:
    assert plan(Positions()).digital == ("(the network itself)", "position")


# --- what keep_digital may name ----------------------------------------------------------------------------------------------


class Scaled(nn.Module):
    """A module of vectors and a matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(1, 8, 1, 1))
        self.grid = nn.Parameter(torch.ones(8, 6, 6))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.gamma + self.grid


def scaled() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 8, 3), Scaled())


def test_a_scale_of_each_channel_is_no_matrix() -> None:
    with pytest.raises(UnsupportedError, match=r"1 \(Scaled\): it holds grid,"):
        plan(scaled(), IMAGES)


def test_a_parameter_can_be_kept_digital_by_name() -> None:
    assert plan(scaled(), IMAGES, keep_digital=("1.grid",)).digital == ("1", "1.grid")
    assert plan(scaled(), IMAGES, keep_digital=("1",)).digital == ("1",)
    assert plan(scaled(), IMAGES, keep_digital=("1.grid", "1.gamma")).digital == ("1.gamma", "1.grid")


class Rooted(Scaled):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.conv(x))


def test_a_parameter_of_the_network_itself_has_a_plain_name() -> None:
    assert plan(Rooted(), IMAGES, keep_digital=("grid",)).digital == ("(the network itself)", "grid")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "'', which the network does not have"),
        ("c", "'c', which the network does not have"),
        ("c:products", "'c:products', which the network does not have"),
        ("a.weight", "'a.weight', a parameter of a layer that is converted; name the layer"),
        ("a:products", "'a:products', in which there is nothing to keep digital"),
        (":products", "':products', in which there is nothing to keep digital"),
    ],
)
def test_a_name_in_keep_digital_that_means_nothing_is_refused(name: str, said: str) -> None:
    with pytest.raises(UnsupportedError, match=f"keep_digital names {said}"):
        plan(Net(), keep_digital=(name,))


def test_a_module_without_weights_cannot_be_kept_digital() -> None:
    model = nn.Sequential(Net(), nn.ReLU())
    with pytest.raises(UnsupportedError, match="keep_digital names '1', in which there is nothing to keep digital"):
        plan(model, keep_digital=("1",))


# --- networks that are another one after conversion --------------------------------------------------------------------------


def test_hooks_come_along() -> None:
    model = Net()
    model.a.register_forward_hook(lambda module, args, out: 2 * out)
    model.b.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    converted = membench.convert(model, Conversion(tuning=LIGHT), sample=VECTORS, verbose=False)
    torch.testing.assert_close(converted(VECTORS), model(VECTORS), rtol=1e-3, atol=1e-4)


def test_a_hook_that_changes_weights_is_refused() -> None:
    model = Net()

    def halve(module: nn.Module, args: Any) -> None:
        module.weight.data = torch.ones(8, 8)

    model.a.register_forward_pre_hook(halve)
    with pytest.raises(UnsupportedError, match="the network gives another output"):
        plan(model)


def test_a_forward_replaced_on_a_layer_is_refused() -> None:
    model = Net()
    model.a.forward = lambda x: x  # type: ignore[method-assign]
    with pytest.raises(UnsupportedError, match=r"a \(Linear\): its forward was replaced"):
        plan(model)


class Noisy(Net):
    """Dropout that is never off."""

    def forward(self, x: Tensor) -> Tensor:
        return self.b(F.dropout(self.a(x)))


def test_a_network_that_draws_random_numbers_is_refused() -> None:
    with pytest.raises(UnsupportedError, match=r"bernoulli draws random numbers at test_executed.py:\d+ in evaluation mode"):
        plan(Noisy())


class Locked(Net):
    def __init__(self) -> None:
        super().__init__()
        self.cache = self.a(VECTORS)


def test_a_network_that_cannot_be_copied_is_refused_in_words() -> None:
    with pytest.raises(UnsupportedError, match="This network cannot be copied"):
        membench.convert(Locked(), HARSH, verbose=False)


# --- ways that depend on values ----------------------------------------------------------------------------------------------


class Experts(Net):
    """Which layer is called depends on the input."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Linear(8, 3)
        self.d = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        y, bright = F.relu(self.a(x)), x.mean(1) > 0.5
        out = torch.zeros(len(x), 3)
        for chosen, expert in ((bright, self.b), (~bright, self.c)):
            if chosen.any():
                out[chosen] = expert(y[chosen])
        return out + self.d(y)


def test_where_the_way_depends_on_values_all_images_are_looked_at() -> None:
    images = torch.cat([torch.ones(4, 8), torch.zeros(4, 8)])
    with pytest.raises(UnsupportedError, match=r"c \(Linear\): the network never calls it"):
        plan(Experts(), images[:2])
    found = plan(Experts(), Batches.of(images, 4))
    assert found.depends
    assert [layer.name for layer in found.layers] == ["a", "b", "c", "d"]


# --- samples of several inputs -----------------------------------------------------------------------------------------------


class Two(Net):
    """Takes two inputs."""

    def forward(self, x: Tensor, scale: Tensor) -> Tensor:
        return self.b(F.relu(self.a(x)) * scale)


@pytest.mark.parametrize("adc", [None, ADC(bits=8, range="calibrated")])
@pytest.mark.parametrize("sample", [(VECTORS, torch.ones(4, 1)), {"scale": torch.ones(4, 1), "x": VECTORS}])
def test_a_sample_may_be_several_inputs(sample: Any, adc: ADC | None) -> None:
    conversion = Conversion(tuning=LIGHT, adc=adc, max_input_voltage=1.0 if adc else None)
    converted = membench.convert(Two(), conversion, sample=sample, verbose=False)
    wanted = converted(VECTORS, torch.ones(4, 1))
    alone = membench.convert(Net(), conversion, sample=VECTORS, verbose=False)
    assert torch.equal(wanted, alone(VECTORS))


class TwoSizes(nn.Module):
    """One convolution on two sizes of an image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(1, 4, 3), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.conv(x).amax((2, 3)) + self.conv(3 * F.avg_pool2d(x, 2)).amax((2, 3)))


def test_one_convolution_at_two_sizes_is_calibrated_on_both() -> None:
    conversion = Conversion(tuning=LIGHT, adc=ADC(bits=8, range="calibrated"))
    converted = membench.convert(TwoSizes(), conversion, sample=IMAGES, verbose=False)
    layer = converted.conv
    assert isinstance(layer, MemristiveLayer)
    halves = [float(layer.full_scale)]
    for batch in (IMAGES, 3 * F.avg_pool2d(IMAGES, 2)):
        layer.calibrate([batch], 0.0, "conv")
        halves.append(float(layer.full_scale))
    assert halves[0] == halves[2] > halves[1]
