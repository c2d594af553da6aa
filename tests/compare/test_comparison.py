"""What is found of a case, in which words, and the exit code that follows."""

from __future__ import annotations

from pathlib import Path

import pytest
from records import make_record

from membench.compare import Comparison, Finding, Side, compare_sides
from membench.datasets import count_test_images
from membench.errors import InputError
from membench.record import Record

ALL = tuple(range(5))


def side(
    name: str, *records: Record, failures: dict[tuple[str, str], str] | None = None, unreadable: tuple[str, ...] = ()
) -> Side:
    return Side(
        name,
        Path(name),
        {(record.case.name, record.engine): record for record in records},
        failures=failures or {},
        unreadable=unreadable,
    )


def losing(lost: int, name: str = "small", images: int = 1000, seeds: tuple[int, ...] = ALL, **fields: object) -> Record:
    """The first `lost` images are wrong, on every seed."""
    return make_record(name=name, images=images, seeds=seeds, wrong=range(lost), batch_size=100, **fields)  # type: ignore[arg-type]


def compared(a: Record, b: Record, **options: float) -> Comparison:
    """As the command line compares, which asks the data sets."""
    return compare_sides(side("A", a), side("B", b), test_images=count_test_images, **options)  # type: ignore[arg-type]


def test_more_losses_are_worse() -> None:
    found = compared(losing(5), losing(30))
    (case,) = found.cases
    assert case.finding is Finding.WORSE
    assert case.words.startswith("by 2.50 points on 1,000 images x 5 seeds (p = ")
    assert case.change is not None
    assert (case.loss_a, case.loss_b, case.change.estimate) == pytest.approx((0.5, 3.0, 2.5))
    assert case.change.low > 0
    assert (case.to_find, case.to_rule_out) == (None, None)
    assert found.exit_code() == 1


def test_fewer_losses_are_better() -> None:
    found = compared(losing(30), losing(5))
    assert [case.finding for case in found.cases] == [Finding.BETTER]
    assert found.exit_code() == 0


def test_the_same_run_is_identical_and_a_copy_of_the_record_is_said_to_be_one() -> None:
    one = losing(5)
    (case,) = compared(one, one).cases
    assert (case.finding, case.words) == (Finding.IDENTICAL, "the same record on both sides: nothing was measured in between")
    again = one.replace(provenance=one.provenance.replace(created="2026-02-03T04:05:06+00:00"))
    found = compared(one, again)
    assert found.cases[0].words == "every answer and every batch's logit error of 1,000 images x 5 seeds"
    assert (found.cases[0].finding, found.exit_code()) == (Finding.IDENTICAL, 0)


def test_a_small_change_on_many_images_is_none() -> None:
    found = compared(losing(5, logit_error=0.1), losing(5, logit_error=0.2))
    (case,) = found.cases
    assert case.finding is Finding.NO_CHANGE
    assert case.words == "within 0.5 points on 1,000 images x 5 seeds; every answer is the same, logit error 0.1 -> 0.2"
    assert (case.tolerance, found.exit_code()) == (0.5, 0)


def test_few_images_show_nothing_and_the_words_say_how_many_would() -> None:
    found = compared(losing(1, images=100), losing(3, images=100))
    (case,) = found.cases
    assert case.finding is Finding.NOT_SIGNIFICANT
    assert case.to_find is not None
    assert case.to_find.images is not None
    assert case.to_find.images > 100
    assert case.words == (
        f"+2.00 points on 100 images x 5 seeds (p = {case.p_holm:.2g}); {case.to_find.images} images would find a change of 2.00 points "
        "(power 80%)"
    )
    assert found.exit_code() == 0


def test_the_plan_is_kept() -> None:
    """With as many images as were asked for, the same change is found."""
    (case,) = compared(losing(1, images=100), losing(3, images=100)).cases
    assert case.to_find is not None
    images = case.to_find.images or 0
    more = compared(losing(images // 100, images=images), losing(3 * images // 100, images=images))
    assert more.cases[0].finding is Finding.WORSE


def test_devices_that_differ_ask_for_seeds_not_images() -> None:
    uneven = make_record(images=1000, seeds=ALL, wrong={0: (), 1: range(10), 2: range(150), 3: range(300), 4: range(40)})
    (case,) = compared(losing(0), uneven).cases
    assert case.finding is Finding.NOT_SIGNIFICANT
    assert case.to_find is not None
    assert (case.to_find.images, case.to_find.seeds) == (None, pytest.approx(13, abs=4))
    assert f"{case.to_find.seeds} seeds, not more images, would find a change of 10.00 points" in case.words


def test_a_change_within_the_tolerance_also_says_what_would_show_that() -> None:
    (case,) = compared(losing(1, images=250, dataset="mine"), losing(0, images=250, dataset="mine")).cases
    assert case.finding is Finding.NOT_SIGNIFICANT
    assert case.to_rule_out is not None
    assert case.words.endswith(f" and {case.to_rule_out.images:,} images would show that it is within 0.5 (power 80%)")


@pytest.mark.parametrize(
    ("dataset", "seeds", "words"),
    [
        ("mnist", (0,), "4,600 images would find"),
        ("mnist5k", (0,), "only more than the 1,000 test images of mnist5k would find"),
        ("mine", (0,), "4,600 images would find"),
        ("mnist", (0, 1), "5,300 images would find"),
        ("mnist5k", (0, 1), "neither more images nor up to 1,000 seeds would find"),
    ],
)
def test_no_more_images_are_asked_for_than_there_are(dataset: str, seeds: tuple[int, ...], words: str) -> None:
    a, b = losing(1, images=500, seeds=seeds, dataset=dataset), losing(2, images=500, seeds=seeds, dataset=dataset)
    assert f"; {words} a change of 0.20 points" in compared(a, b).cases[0].words


def test_seeds_are_asked_for_where_there_are_no_more_images() -> None:
    """Each device loses other images, so that either would do; mnist5k has no more than those 1,000."""
    few, more = ({seed: range(100 * seed, 100 * seed + n) for seed in ALL} for n in (0, 3))
    a, b = (make_record(images=1000, seeds=ALL, batch_size=100, wrong=wrong) for wrong in (few, more))
    (case,) = compared(a, b, tolerance=0.0).cases
    assert case.to_find is not None
    assert case.to_find.images is None
    assert f"; {case.to_find.seeds} seeds, not more images, would find a change of 0.30 points" in case.words


def test_the_tolerance_is_the_option_s_else_the_case_s_else_half_a_point() -> None:
    a, b = losing(5), losing(6, tolerance_points=0.35)
    assert [compared(a, b).cases[0].tolerance, compared(a, b, tolerance=2.0).cases[0].tolerance] == [0.35, 2.0]
    assert compared(a, losing(6)).cases[0].tolerance == 0.5
    assert compared(a, b, tolerance=2.0).cases[0].finding is Finding.NO_CHANGE
    assert compared(a, b, tolerance=0.0).cases[0].finding is Finding.NOT_SIGNIFICANT


def test_p_values_are_corrected_for_the_cases_compared() -> None:
    """9 more losses are found alone (p = 0.0066), and not among 20 cases (p = 0.13)."""
    names = [f"case-{i}" for i in range(19)]
    others = [losing(0, name, logit_error=0.1) for name in names], [losing(0, name, logit_error=0.2) for name in names]
    alone = compared(losing(0), losing(9)).cases[0]
    found = compare_sides(side("A", losing(0), *others[0]), side("B", losing(9), *others[1]))
    among = found.cases[0]
    assert (alone.finding, among.finding) == (Finding.WORSE, Finding.NOT_SIGNIFICANT)
    assert alone.p is not None
    assert among.p == alone.p
    assert among.p_holm == pytest.approx(20 * alone.p)
    assert "corrected for 20 cases" in among.words
    assert among.to_find is not None


def test_no_change_is_corrected_too() -> None:
    """Shown for one case (z = 0.7 / 0.28, p = 0.007), and not for each of 20."""
    a, b = (
        [losing(0, f"case-{i}", images=500) for i in range(20)],
        [losing(0, f"case-{i}", 500, logit_error=0.2) for i in range(20)],
    )
    assert compared(a[0], b[0], tolerance=0.7).cases[0].finding is Finding.NO_CHANGE
    found = compare_sides(side("A", *a), side("B", *b), tolerance=0.7)
    assert {case.finding for case in found.cases} == {Finding.NOT_SIGNIFICANT}


def test_one_seed_speaks_of_its_devices_alone() -> None:
    (case,) = compared(losing(0, seeds=(0,)), losing(40, seeds=(0,))).cases
    assert case.words.endswith("; one seed, so these devices alone")


def test_cases_on_one_side_are_listed_and_not_green() -> None:
    found = compare_sides(
        side("A", losing(5), losing(5, name="old")), side("B", losing(5), losing(5, name="new"), losing(5, engine="digital"))
    )
    assert [(case.case, case.engine, case.finding) for case in found.cases] == [
        ("small", "memtorch", Finding.IDENTICAL),
        ("old", "memtorch", Finding.ONLY_A),
        ("new", "memtorch", Finding.ONLY_B),
        ("small", "digital", Finding.ONLY_B),
    ]
    assert [case.words for case in found.cases[1:3]] == ["A has it, B has not", "B has it, A has not"]
    assert [(case.loss_a, case.loss_b) for case in found.cases[1:3]] == [(0.5, None), (None, 0.5)]
    assert (found.exit_code(), found.exit_code(allow_missing=True)) == (4, 0)


def test_nothing_in_common_is_not_green_even_where_missing_cases_are_allowed() -> None:
    found = compare_sides(side("A", losing(5, name="old")), side("B", losing(5, name="new")))
    assert found.exit_code(allow_missing=True) == 4


def test_worse_counts_more_than_missing() -> None:
    found = compare_sides(side("A", losing(5), losing(5, name="old")), side("B", losing(30)))
    assert found.exit_code() == 1


def test_what_is_invalid_in_b_is_red_and_in_a_is_not_compared() -> None:
    broken = make_record(images=1000, seeds=ALL, batch_size=100, broken=(7,))
    found = compared(losing(5), broken)
    assert (found.cases[0].finding, found.exit_code()) == (Finding.INVALID, 1)
    assert found.cases[0].words == "B is invalid: 5 of 5000 converted outputs hold NaN or infinity"
    found = compared(broken, losing(5))
    assert (found.cases[0].finding, found.exit_code(allow_missing=True)) == (Finding.NOT_COMPARED, 4)


def test_what_is_invalid_in_b_is_red_whatever_a_is() -> None:
    """Neither a broken case of A nor one that A lacks or cannot read makes it less so; a broken case that B no longer has is none."""
    broken, key = make_record(images=1000, seeds=ALL, batch_size=100, broken=(7,)), ("small", "memtorch")
    good = losing(5, name="good")
    for a in (side("A", good, broken), side("A", good), side("A", good, failures={key: "it broke"})):
        found = compare_sides(a, side("B", good, broken))
        case = next(case for case in found.cases if case.case == "small")
        assert (case.finding, case.words.split(":")[0], found.exit_code(allow_missing=True)) == (
            Finding.INVALID,
            "B is invalid",
            1,
        )
    assert compare_sides(side("A", good, broken), side("B", good)).exit_code(allow_missing=True) == 0


def test_what_cannot_be_compared_is_refused_with_the_reason() -> None:
    found = compared(losing(5), losing(5, dataset="cifar10"))
    assert (found.cases[0].finding, found.exit_code(allow_missing=True)) == (Finding.NOT_COMPARED, 4)
    assert found.cases[0].words == "A was measured on mnist5k, B on cifar10"


def test_failures_and_unreadable_files_are_never_let_through() -> None:
    key = ("small", "memtorch")
    found = compare_sides(
        side("A", losing(5), losing(5, name="other")), side("B", losing(5, name="other"), failures={key: "it broke"})
    )
    assert found.cases[0].words == "B: it broke"
    assert (found.cases[0].finding, found.exit_code(allow_missing=True)) == (Finding.NOT_COMPARED, 4)
    found = compare_sides(side("A", losing(5)), side("B", losing(5), unreadable=("x.json is no record",)))
    assert (found.unreadable, found.exit_code(allow_missing=True)) == (("x.json is no record",), 4)


def test_two_empty_sides_are_refused() -> None:
    with pytest.raises(InputError, match="no record on either side: A and B"):
        compare_sides(side("A"), side("B"))


def test_engines_are_said_and_the_weaker_test_too() -> None:
    a, b = losing(5), losing(5, engine="digital", seeds=(7, 8))
    (case,) = compare_sides(side("A", a), Side("B", Path("B"), {("small", "memtorch"): b})).cases
    assert case.engine == "memtorch -> digital"
    assert "weaker" in case.test
    assert len(case.notes) == 2


def test_a_comparison_is_the_same_after_a_trip_through_json() -> None:
    found = compare_sides(side("A", losing(1, images=100), losing(5, name="old")), side("B", losing(3, images=100)))
    assert Comparison.from_json(found.model_dump_json(), "here") == found
