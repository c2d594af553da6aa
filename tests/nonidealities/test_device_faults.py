"""Faults, drawn as here and as in MemTorch: as many as asked for, where they belong, and for good."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from bars import (
    HIGH,
    LOW,
    R_OFF,
    R_ON,
    WEAR,
    acted,
    found_out,
    holding,
    programmed,
    prove,
    refused,
    rng,
    rounded,
    varied,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from membench import (
    ConductanceDrift,
    DeviceFaults,
    Endurance,
    FiniteConductanceStates,
    LineResistance,
    ProgrammingError,
    Retention,
)
from membench.effect import Crossbar, Effect
from membench.errors import EffectDidNothingError

NEVER = 5e3  # of devices that failed to electroform, in ohms


def as_memtorch(**fields: Any) -> DeviceFaults:
    return DeviceFaults(**fields, memtorch_compatible=True)


def counted(before: Crossbar, now: Crossbar, never: float = 1 / NEVER) -> Counter[str]:
    """How many fresh faults there are of each kind, of devices that had each its own conductance."""
    stuck = np.zeros(now.real.shape, dtype=bool) if now.stuck is None else now.stuck
    fresh = stuck if before.stuck is None else stuck & ~before.stuck
    where = {"hrs": now.conductance_min, "lrs": now.conductance_max, "never": np.full(fresh.shape, never)}
    found = Counter({name: int(np.sum(fresh & (now.conductance == end))) for name, end in where.items()})
    assert sum(found.values()) == int(fresh.sum())
    return found


# ---- what is refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({}, "all proportions are 0"),
        ({"lrs_proportion": 0.0, "hrs_proportion": 0.0}, "all proportions are 0"),
        ({"memtorch_compatible": True}, "all proportions are 0"),
        ({"hrs_proportion": 0.6, "electroform_proportion": 0.5}, r"add up to 1\.1; a device fails in one way only"),
        ({"hrs_proportion": 0.6, "lrs_proportion": 0.5}, r"add up to 1\.1; a device fails in one way only"),
        ({"lrs_proportion": 0.4, "hrs_proportion": 0.4, "electroform_proportion": 0.3}, r"add up to 1\.1;"),
        (
            {"hrs_proportion": 0.6, "electroform_proportion": 0.5, "memtorch_compatible": True},
            r"is 1\.1; both leave a device at HRS",
        ),
        ({"lrs_proportion": 0.1, "counts": "binomial", "memtorch_compatible": True}, "MemTorch has exact counts"),
        (
            {"electroform_proportion": 0.1, "electroform_resistance": 5e3, "memtorch_compatible": True},
            "MemTorch has exact counts and no electroform_resistance",
        ),
        (
            {"lrs_proportion": 0.1, "electroform_resistance": 5e3},
            "electroform_resistance is given, but electroform_prop.* is 0",
        ),
        ({"electroform_proportion": 0.1, "electroform_resistance": 0.0}, "electroform_resistance"),
        ({"lrs_proportion": 0.1, "counts": "poisson"}, "counts"),
        ({"lrs_proportion": 1.1}, "lrs_proportion"),
        ({"lrs_proportion": -0.1}, "lrs_proportion"),
        ({"electroform_proportion": 1.1}, "electroform_proportion"),
        ({"hrs_proportion": True}, "hrs_proportion"),
        ({"hrs_proportion": 0.1, "memtorch_compatible": "yes please"}, "memtorch_compatible"),
    ],
)
def test_faults_that_would_do_nothing_or_are_out_of_range_are_refused(fields: dict[str, Any], said: str) -> None:
    refused(DeviceFaults, fields, said)


@pytest.mark.parametrize("thirds", [(1 / 3, 1 / 3, 1 / 3), (0.1, 0.2, 0.7), (0.7, 0.2, 0.1)])
def test_rounding_of_proportions_that_make_up_the_whole_is_not_refused(thirds: tuple[float, float, float]) -> None:
    effect = DeviceFaults(lrs_proportion=thirds[0], hrs_proportion=thirds[1], electroform_proportion=thirds[2])
    now = acted(effect, programmed())
    assert now.stuck is not None
    assert now.stuck.all()


def test_both_draws_allow_all_devices_at_one_end() -> None:
    assert as_memtorch(lrs_proportion=1.0, hrs_proportion=1.0).lrs_proportion == 1.0
    refused(DeviceFaults, {"lrs_proportion": 1.0, "hrs_proportion": 1.0}, "add up to 2")


# ---- how many, and which ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lrs", "hrs", "electroform"),
    [
        (0.2, 0.0, 0.0),
        (0.0, 0.2, 0.0),
        (0.0, 0.0, 0.1),
        (0.1, 0.2, 0.3),
        (0.25, 0.5, 0.25),
        (1.0, 0.0, 0.0),
        (0.001, 0.0, 0.002),
    ],
)
def test_each_kind_has_its_exact_share_of_each_crossbar(lrs: float, hrs: float, electroform: float) -> None:
    more = {"electroform_resistance": NEVER} if electroform else {}
    effect = DeviceFaults(lrs_proportion=lrs, hrs_proportion=hrs, electroform_proportion=electroform, **more)
    bars = [programmed(), programmed((2, 25, 20), seed=3)]
    result = effect.act_on(bars, rng())
    for bar, now in zip(bars, result, strict=True):
        assert counted(bar, now) == Counter(lrs=round(1000 * lrs), hrs=round(1000 * hrs), never=round(1000 * electroform))
        assert now.stuck is not None
        assert np.array_equal(now.conductance[~now.stuck], bar.conductance[~now.stuck])
    proof = effect.prove(bars, result)
    assert proof.moved == proof.details["stuck"] == pytest.approx(proof.details["asked"])
    assert proof.moved == round(2000 * (lrs + hrs + electroform))


@settings(max_examples=60)
@given(
    rows=st.integers(2, 12),
    columns=st.integers(1, 12),
    shares=st.tuples(*[st.floats(0.0, 1.0)] * 4).filter(lambda shares: sum(shares) > 0.1),
    padding=st.booleans(),
    counts=st.sampled_from(["exact", "binomial"]),
    seed=st.integers(0, 9),
)
def test_faults_are_disjoint_and_padding_never_fails(
    rows: int, columns: int, shares: Sequence[float], padding: bool, counts: Any, seed: int
) -> None:
    lrs, hrs, electroform = (share / sum(shares) for share in shares[:3])
    if lrs + hrs + electroform == 0:
        return
    more = {"electroform_resistance": NEVER} if electroform else {}
    effect = DeviceFaults(lrs_proportion=lrs, hrs_proportion=hrs, electroform_proportion=electroform, counts=counts, **more)
    bar = programmed((rows, columns), padding=padding)
    now = acted(effect, bar, seed)
    found = counted(bar, now)  # which looks that the kinds add up to the stuck devices
    assert now.stuck is not None
    assert not (now.stuck & ~bar.real).any()
    assert np.array_equal(now.conductance[~now.stuck], bar.conductance[~now.stuck])
    devices = int(bar.real.sum())
    if counts == "exact":
        for name, share in (("lrs", lrs), ("hrs", hrs), ("never", electroform)):
            assert abs(found[name] - share * devices) <= 1
        assert abs(sum(found.values()) - (lrs + hrs + electroform) * devices) <= 0.5 + 1e-9
    elif found:
        effect.check([bar], [now])


def test_every_device_is_as_likely_to_fail_in_each_way() -> None:
    bar = programmed((5, 4))
    effect = DeviceFaults(lrs_proportion=0.1, hrs_proportion=0.2, electroform_proportion=0.3, electroform_resistance=NEVER)
    for counts in ("exact", "binomial"):
        chosen = effect.replace(counts=counts)
        generator = rng(8)
        results = np.array([chosen.act_on([bar], generator)[0].conductance for _ in range(2000)])
        for end, share in ((HIGH, 0.1), (LOW, 0.2), (1 / NEVER, 0.3)):
            often = (results == end).mean(axis=0)
            np.testing.assert_allclose(often, share, atol=5 * math.sqrt(share * (1 - share) / 2000))


def test_binomial_counts_vary_as_single_devices_do() -> None:
    """Mean n p and variance n p (1 - p); exact ones do not vary."""
    bar = programmed((20, 20))
    effect = DeviceFaults(lrs_proportion=0.1, hrs_proportion=0.3, counts="binomial")
    generator = rng(9)
    found = [counted(bar, effect.act_on([bar], generator)[0]) for _ in range(500)]
    for name, share in (("lrs", 0.1), ("hrs", 0.3)):
        counts = np.array([one[name] for one in found])
        variance = 400 * share * (1 - share)
        assert counts.mean() == pytest.approx(400 * share, abs=5 * math.sqrt(variance / 500))
        assert counts.var() == pytest.approx(variance, rel=5 * math.sqrt(2 / 500))
    exact = effect.replace(counts="exact")
    assert len({counted(bar, exact.act_on([bar], generator)[0])["lrs"] for _ in range(20)}) == 1


@pytest.mark.parametrize("compatible", [False, True])
def test_a_device_is_stuck_at_its_own_ends(compatible: bool) -> None:
    """With variability, each device has its own range."""
    bar = varied(programmed())
    for end, field in ((bar.conductance_max, "lrs_proportion"), (bar.conductance_min, "hrs_proportion")):
        assert np.array_equal(DeviceFaults(**{field: 1.0}, memtorch_compatible=compatible).act(bar, rng()), end)
    assert np.array_equal(DeviceFaults(electroform_proportion=1.0).act(bar, rng()), bar.conductance_min)


@pytest.mark.parametrize("compatible", [False, True])
@pytest.mark.parametrize("counts", ["exact", "binomial"])
def test_the_seed_draws_the_devices(compatible: bool, counts: Any) -> None:
    if compatible and counts == "binomial":
        return
    effect, bar = DeviceFaults(lrs_proportion=0.1, counts=counts, memtorch_compatible=compatible), programmed()
    assert np.array_equal(effect.act(bar, rng(5)), effect.act(bar, rng(5)))
    assert not np.array_equal(effect.act(bar, rng(5)), effect.act(bar, rng(6)))


def test_devices_that_failed_to_electroform_have_a_resistance_of_their_own_or_their_r_off() -> None:
    """A device that was never formed conducts less than one at HRS."""
    bar = varied(programmed())
    formed = DeviceFaults(electroform_proportion=0.2)
    assert counted(bar, acted(formed, bar))["hrs"] == 200
    never = acted(formed.replace(electroform_resistance=1e6), bar)
    assert counted(bar, never, never=1e-6) == Counter(never=200)
    assert prove_details(formed.replace(electroform_resistance=1e6), bar, never)["stuck_at_electroform"] == 200
    assert "stuck_at_electroform" not in prove_details(formed, bar, acted(formed, bar))


def prove_details(effect: Effect, bar: Crossbar, now: Crossbar) -> dict[str, float]:
    return effect.prove([rounded(bar)], [rounded(now)]).details


def test_devices_that_are_stuck_already_do_not_fail_again() -> None:
    first, second = DeviceFaults(lrs_proportion=0.5), DeviceFaults(hrs_proportion=0.5)
    bar = programmed()
    once = acted(first, bar)
    twice = acted(second, once)
    assert counted(once, twice) == Counter(hrs=250)  # half of those that are left
    assert np.array_equal(twice.conductance[once.stuck], once.conductance[once.stuck])
    proof = second.prove([once], [twice])
    assert (proof.details["asked"], proof.details["stuck"], proof.moved) == (250, 250, 250)
    found_out(second, once, dataclasses.replace(twice, stuck=once.stuck), "250 devices of 'conv' moved")


LATER = [
    FiniteConductanceStates(states=2),
    ProgrammingError(sigma=0.1),
    ConductanceDrift(time=1e3),
    ConductanceDrift(time=1e3, coefficient_sigma=0.1),
    Endurance(cycles=1e5, **WEAR),
    Retention(time=1e5, **{**WEAR, "mode": "sudden"}),
    DeviceFaults(lrs_proportion=0.9),
    as_memtorch(lrs_proportion=0.9),
]


@pytest.mark.parametrize("later", LATER, ids=lambda effect: effect.kind)
def test_no_later_effect_moves_a_stuck_device(later: Effect) -> None:
    faults = DeviceFaults(lrs_proportion=0.2, hrs_proportion=0.3, electroform_proportion=0.1, electroform_resistance=NEVER)
    stuck = rounded(acted(faults, programmed()))
    now = rounded(acted(later, stuck))
    assert stuck.stuck is not None
    assert now.stuck is not None
    assert np.array_equal(now.conductance[stuck.stuck], stuck.conductance[stuck.stuck])
    assert not np.array_equal(now.conductance[~stuck.stuck], stuck.conductance[~stuck.stuck])
    assert (now.stuck | ~stuck.stuck).all()
    if not getattr(later, "memtorch_compatible", False):  # MemTorch knows no stuck devices, so that its proof counts all
        assert 0 < later.prove([stuck], [now]).moved <= 400


def test_line_resistance_is_read_of_stuck_devices_too() -> None:
    stuck = acted(DeviceFaults(lrs_proportion=0.5), programmed())
    now = acted(LineResistance(line_resistance=0.5), stuck)
    assert np.array_equal(now.stuck, stuck.stuck)
    assert (now.conductance < stuck.conductance).all()


def test_memtorchs_faults_are_not_held() -> None:
    """As in MemTorch, a later effect moves them again."""
    now = acted(as_memtorch(lrs_proportion=0.5), programmed())
    assert now.stuck is None
    assert (acted(ConductanceDrift(time=10.0), now).conductance < now.conductance).all()


# ---- engines that cheat -------------------------------------------------------------------------------------------------

ASKED = DeviceFaults(lrs_proportion=0.1, hrs_proportion=0.2)
NAMED = DeviceFaults(lrs_proportion=0.1, hrs_proportion=0.2, electroform_proportion=0.1, electroform_resistance=NEVER)


@pytest.mark.parametrize("counts", ["exact", "binomial"])
@pytest.mark.parametrize(
    ("asked", "done", "said"),
    [
        (ASKED, {"lrs_proportion": 0.0}, "300 devices were to be stuck, 200 are"),
        (ASKED, {"hrs_proportion": 0.0}, "300 devices were to be stuck, 100 are"),
        (ASKED, {"lrs_proportion": 0.2}, "300 devices were to be stuck, 400 are"),
        (ASKED, {"electroform_proportion": 0.1}, "300 devices were to be stuck, 400 are"),
        (ASKED, {"lrs_proportion": 0.2, "hrs_proportion": 0.1}, "stuck_at_hrs: 200 devices were to be there, 100 are"),
        (ASKED, {"lrs_proportion": 0.3, "hrs_proportion": 0.0}, "stuck_at_hrs: 200 .* 0 are"),
        (ASKED, {"lrs_proportion": 0.0, "hrs_proportion": 0.3}, "stuck_at_(hrs|lrs)"),
        (NAMED, {"electroform_proportion": 0.2, "hrs_proportion": 0.1}, "stuck_at_electroform"),
        (NAMED, {"electroform_proportion": 0.2, "lrs_proportion": 0.0}, "stuck_at_electroform"),
        (NAMED, {"electroform_resistance": None}, "stuck_at_electroform"),
        (NAMED, {"electroform_resistance": 2 * NEVER}, "at a conductance that is no end of theirs"),
    ],
)
def test_too_many_too_few_or_at_the_wrong_end_is_found_out(
    asked: DeviceFaults, done: dict[str, Any], said: str, counts: Any
) -> None:
    found_out(asked.replace(counts=counts), programmed(), acted(asked.replace(**done), programmed()), said)


@pytest.mark.parametrize("more", [-1, 1])
def test_exact_counts_are_exact(more: int) -> None:
    found_out(
        ASKED, programmed(), acted(ASKED.replace(lrs_proportion=0.1 + more / 1000), programmed()), "300 devices were to be"
    )
    found_out(
        ASKED, programmed(), acted(ASKED.replace(hrs_proportion=0.2 + more / 1000), programmed()), "300 devices were to be"
    )


def test_the_faults_of_two_crossbars_in_one_are_found_out() -> None:
    bars = [programmed(), programmed(seed=2)]
    all_in_one = [acted(ASKED.replace(lrs_proportion=0.2, hrs_proportion=0.4), bars[0]), bars[1]]
    found_out(ASKED, bars, all_in_one, "were to be stuck")


def test_a_binomial_count_may_be_off_by_chance_only() -> None:
    """Standard deviation of 1000 devices at 0.3: 14.5."""
    effect = ASKED.replace(counts="binomial")
    for devices in (270, 330):
        now = acted(ASKED.replace(lrs_proportion=0.1, hrs_proportion=devices / 1000 - 0.1), programmed())
        assert prove_details(effect, programmed(), now)["stuck"] == devices
    for devices in (200, 400):
        now = acted(ASKED.replace(lrs_proportion=0.1, hrs_proportion=devices / 1000 - 0.1), programmed())
        found_out(effect, programmed(), now, "300 devices were to be stuck")


def test_faults_of_padding_are_found_out() -> None:
    bar = programmed(padding=True)
    blind = dataclasses.replace(bar, real=np.ones_like(bar.real))
    now = dataclasses.replace(acted(ASKED, blind), real=bar.real)
    found_out(ASKED, bar, now, "devices of 'conv' that only pad a tile were counted as faults")


def test_a_fault_that_nobody_marks_as_stuck_is_found_out() -> None:
    """A later effect would move it."""
    now = acted(ASKED, programmed())
    found_out(
        ASKED, programmed(), dataclasses.replace(now, stuck=None), "300 devices of 'conv' moved though they are not stuck"
    )
    assert now.stuck is not None
    now.stuck[tuple(np.argwhere(now.stuck)[0])] = False
    found_out(ASKED, programmed(), now, "1 devices of 'conv' moved though they are not stuck")


def test_a_device_that_moved_though_it_is_not_stuck_is_found_out() -> None:
    now = acted(ASKED, programmed())
    now.conductance[~now.stuck] *= 1.001  # type: ignore[operator]
    found_out(ASKED, programmed(), now, "700 devices of 'conv' moved though they are not stuck")


def test_a_device_that_was_stuck_before_and_moves_is_found_out() -> None:
    bar = holding(programmed(), (0, 0))
    now = acted(ASKED, bar)
    now.conductance[0, 0] *= 1.001
    found_out(ASKED, bar, now, "1 devices of 'conv' moved")


def test_a_stuck_device_at_no_end_is_found_out() -> None:
    now = acted(ASKED, programmed())
    now.conductance[now.conductance == HIGH] *= 0.99
    found_out(ASKED, programmed(), now, "100 stuck devices of 'conv' are at a conductance that is no end of theirs")


def test_the_ends_of_the_device_model_instead_of_a_device_s_own_are_found_out() -> None:
    bar = varied(programmed())
    now = acted(ASKED, programmed())
    found_out(ASKED, bar, dataclasses.replace(bar, conductance=now.conductance, stuck=now.stuck), "no end of theirs")


def test_faults_that_are_there_before_do_not_pass_for_those_asked_for() -> None:
    """With two columns a weight, half of the devices hold nothing and are at HRS."""
    bar = programmed()
    bar.conductance[:20] = LOW
    assert prove_details(ASKED, bar, acted(ASKED, bar))["stuck_at_hrs"] == 200
    found_out(ASKED, bar, acted(ASKED.replace(hrs_proportion=0.0), bar), "300 devices were to be stuck, 100 are")


def test_ends_that_coincide_are_told_apart_by_their_sum() -> None:
    effect = NAMED.replace(electroform_resistance=R_OFF)
    proof = prove_details(effect, programmed(), acted(effect, programmed()))
    assert proof["stuck_at_electroform"] + proof["stuck_at_hrs"] == 300
    found_out(effect, programmed(), acted(ASKED.replace(lrs_proportion=0.3, hrs_proportion=0.1), programmed()), "stuck_at_hrs")


# ---- MemTorch's draw ----------------------------------------------------------------------------------------------------


def test_memtorchs_draw_takes_padding_for_devices() -> None:
    bar = programmed(padding=True)
    assert np.array_equal(as_memtorch(lrs_proportion=1.0).act(bar, rng()), bar.conductance_max)


def test_memtorchs_draw_lets_lrs_take_devices_from_hrs() -> None:
    """Two draws, each among all devices: of half of them at HRS, half of the LRS draws take one away."""
    result = as_memtorch(lrs_proportion=0.5, hrs_proportion=0.5).act(programmed((100, 100)), rng())
    assert int((result == HIGH).sum()) == 5000
    assert int((result == LOW).sum()) == pytest.approx(2500, abs=5 * 25)


@pytest.mark.parametrize(
    ("lrs", "hrs", "electroform", "at_lrs", "at_hrs"),
    [
        (0.2, 0.0, 0.0, (200, 200), (0, 0)),
        (0.0, 0.2, 0.0, (0, 0), (200, 200)),
        (0.0, 0.2, 0.1, (0, 0), (300, 300)),
        (0.0, 0.0, 0.1, (0, 0), (100, 100)),
        (0.25, 0.5, 0.0, (250, 250), (250, 500)),  # LRS is drawn last and may take HRS devices away
        (1.0, 0.0, 0.0, (1000, 1000), (0, 0)),
        (0.0, 1.0, 0.0, (0, 0), (1000, 1000)),
        (0.0, 0.75, 0.25, (0, 0), (1000, 1000)),
        (1.0, 1.0, 0.0, (1000, 1000), (0, 0)),
    ],
)
def test_memtorchs_as_many_devices_are_stuck_as_were_asked_for(
    lrs: float, hrs: float, electroform: float, at_lrs: tuple[int, int], at_hrs: tuple[int, int]
) -> None:
    effect = as_memtorch(lrs_proportion=lrs, hrs_proportion=hrs, electroform_proportion=electroform)
    bar = programmed()
    result = effect.act(bar, rng())
    low, high = int(np.sum(result == bar.conductance_min)), int(np.sum(result == bar.conductance_max))
    assert at_lrs[0] <= high <= at_lrs[1]
    assert at_hrs[0] <= low <= at_hrs[1]
    untouched = (result != bar.conductance_min) & (result != bar.conductance_max)
    assert np.array_equal(result[untouched], bar.conductance[untouched])
    proof = prove(effect, bar, result)
    assert proof.details == {"stuck_at_lrs": high, "stuck_at_hrs": low}
    assert proof.moved == low + high


def test_memtorchs_faults_at_neither_end_are_found_out() -> None:
    effect, bar = as_memtorch(lrs_proportion=0.1), programmed()
    conductance = effect.act(bar, rng())
    conductance[conductance == 1 / R_ON] *= 0.99
    with pytest.raises(EffectDidNothingError, match="100 devices of 'conv' moved to a conductance that is neither LRS nor HRS"):
        prove(effect, bar, conductance)


def test_memtorchs_a_device_that_moved_though_it_is_not_stuck_is_found_out() -> None:
    effect, bar = as_memtorch(lrs_proportion=0.1), programmed()
    conductance = effect.act(bar, rng())
    conductance[conductance != 1 / R_ON] *= 1.001
    with pytest.raises(EffectDidNothingError, match="900 devices of 'conv' moved"):
        prove(effect, bar, conductance)


@pytest.mark.parametrize(
    ("asked", "done", "name"),
    [
        ({"lrs_proportion": 0.2}, {"lrs_proportion": 0.1}, "stuck_at_lrs: at least 200 devices were to move there, 100 did"),
        ({"hrs_proportion": 0.2}, {"hrs_proportion": 0.1}, "stuck_at_hrs: at least 200 devices were to move there, 100 did"),
        ({"electroform_proportion": 0.2}, {"electroform_proportion": 0.1}, "stuck_at_hrs: at least 2[04][03] devices"),
        ({"lrs_proportion": 0.2}, {"hrs_proportion": 0.2}, "stuck_at_lrs: at least 200 devices were to move there, 0 did"),
        ({"lrs_proportion": 0.1, "hrs_proportion": 0.3}, {"lrs_proportion": 0.1}, "stuck_at_hrs: at least 2[04][03] devices"),
        ({"lrs_proportion": 0.1, "hrs_proportion": 0.3}, {"hrs_proportion": 0.3}, "stuck_at_lrs: at least 100 devices"),
    ],
)
def test_memtorchs_too_few_faults_are_found_out(asked: dict[str, float], done: dict[str, float], name: str) -> None:
    bar = programmed()
    with pytest.raises(EffectDidNothingError, match=name):
        prove(as_memtorch(**asked), bar, as_memtorch(**done).act(bar, rng()))


def test_memtorchs_faults_that_are_missing_are_found_out_though_half_of_the_devices_were_at_hrs_before() -> None:
    """With two columns a weight, half of the devices hold nothing and are at HRS: they must not pass for stuck ones."""
    bar = programmed()
    bar.conductance[:20] = 1 / R_OFF
    asked = as_memtorch(lrs_proportion=0.1, hrs_proportion=0.3)
    prove(asked, bar, asked.act(bar, rng()))
    with pytest.raises(EffectDidNothingError, match="stuck_at_hrs"):
        prove(asked, bar, as_memtorch(lrs_proportion=0.1).act(bar, rng()))


def test_memtorchs_faults_that_are_missing_are_found_out_though_weights_were_saturated_at_lrs_before() -> None:
    """With `retained` below 1, the largest weights are at LRS: they must not pass for stuck ones either."""
    bar = programmed()
    bar.conductance[:4] = 1 / R_ON
    asked = as_memtorch(lrs_proportion=0.08, hrs_proportion=0.1)
    prove(asked, bar, asked.act(bar, rng()))
    with pytest.raises(EffectDidNothingError, match="stuck_at_lrs"):
        prove(asked, bar, as_memtorch(hrs_proportion=0.1).act(bar, rng()))
