"""Which images and seeds two records share, and what is said of the rest."""

from __future__ import annotations

import numpy as np
import pytest
from records import make_record

from membench import ADC, Conversion, DeviceFaults
from membench.compare.pairing import pair
from membench.errors import InputError
from membench.record import Measured, Record


def reordered(record: Record, order: list[int]) -> Record:
    """The same images, measured in another order."""
    measured = record.measured
    seeds = tuple(result.replace(predictions=tuple(result.predictions[i] for i in order)) for result in measured.seeds)
    return record.replace(
        measured=Measured.of(
            images=tuple(measured.images[i] for i in order),
            labels=tuple(measured.labels[i] for i in order),
            digital_predictions=tuple(measured.digital_predictions[i] for i in order),
            digital_batch_power=measured.digital_batch_power,
            seeds=seeds,
            layers=measured.layers,
            digital_layers=measured.digital_layers,
        )
    )


def test_what_is_lost_and_won_on_each_image() -> None:
    """Image 1 is lost; image 2 is wrong in both networks, image 3 in the digital one alone."""
    found = pair(make_record(), make_record(wrong={0: (1, 2)}, digital_wrong=(2, 3)))
    assert found.b.tolist() == [[0, 1, 0, -1, *[0] * 16]]
    assert found.a.tolist() == [[0] * 20]
    assert (found.same_images, found.same_seeds, found.test) == (True, True, "paired by image and seed")


def test_equal_records_are_identical() -> None:
    found = pair(make_record(wrong=(3,)), make_record(wrong=(3,)))
    assert (found.identical, found.same_answers, found.notes) == (True, True, ())


@pytest.mark.parametrize(
    "other",
    [
        make_record(wrong=(3,), logit_error=0.1000001),
        make_record(wrong=(3,), digital_power=1.0000001),
        make_record(wrong=(3,), digital_wrong=(3,)),
    ],
    ids=["logits", "digital logits", "digital answers"],
)
def test_the_same_answers_with_other_logits_are_not_identical(other: Record) -> None:
    found = pair(make_record(wrong=(3,)), other)
    assert (found.identical, found.same_answers) == (False, True)


def test_another_answer_that_is_wrong_as_well_is_a_difference() -> None:
    """Class 4 instead of 3 moves no accuracy, and is not the same."""
    one, other = make_record(wrong=(3,), classes=3), make_record(wrong=(3,), classes=3)
    (result,) = other.measured.seeds
    moved = tuple((p + 1) % 3 if i == 3 else p for i, p in enumerate(result.predictions))
    other = other.replace(measured=other.measured.replace(seeds=(result.replace(predictions=moved),)))
    found = pair(one, other)
    assert np.array_equal(found.a, found.b)
    assert not found.same_answers
    assert not found.identical


def test_images_are_matched_by_their_content() -> None:
    record = make_record(wrong=(3, 7))
    found = pair(record, reordered(record, list(reversed(range(20)))))
    assert np.array_equal(found.a, found.b)
    assert found.a[0, 3] == 1
    assert not found.identical
    assert found.notes == ("the images were in other batches, which moves the logits where a batch shares a scale",)


def test_a_shorter_run_is_compared_on_its_images() -> None:
    found = pair(make_record(images=40, wrong=(3, 30)), make_record(images=20, wrong=(3,)))
    assert found.a.shape == (1, 20)
    assert found.same_answers
    assert not found.identical
    assert found.notes == ("only the 20 images on both sides (of 40 in A, 20 in B)",)


@pytest.mark.parametrize("fields", [{"images": 25}, {"batch_size": 5}], ids=["an odd batch at the end", "batch size"])
def test_other_batches_are_said(fields: dict[str, int]) -> None:
    found = pair(make_record(images=40, batch_size=10), make_record(**{"images": 40, "batch_size": 10, **fields}))
    assert any("other batches" in note for note in found.notes)


def test_images_that_stand_twice_are_shared_twice() -> None:
    """The first two are the same; the second is lost."""
    measured = make_record().measured
    (result,) = measured.seeds
    twice = measured.replace(
        images=("00000000000000aa",) * 2 + measured.images[2:],
        labels=(0, 0, *measured.labels[2:]),
        digital_predictions=(0, 0, *measured.digital_predictions[2:]),
        seeds=(result.replace(predictions=(0, 9, *result.predictions[2:])),),
    )
    record = make_record().replace(measured=twice.again())
    found = pair(record, record)
    assert found.a.shape == (1, 20)
    assert found.a[0, :2].tolist() == found.b[0, :2].tolist() == [0, 1]


def test_other_images_are_two_samples() -> None:
    found = pair(make_record(seeds=(0, 1)), make_record(seeds=(0, 1), image_prefix="other", images=30))
    assert (found.a.shape, found.b.shape) == ((2, 20), (2, 30))
    assert (found.same_images, found.same_seeds, found.identical) == (False, True, False)
    assert found.test == "paired by seed; weaker: the images differ, so they are compared as two samples"
    assert found.notes == ("0 images are the same of 20 in A and 30 in B",)


@pytest.mark.parametrize(("shared", "paired"), [(10, True), (9, False)])
def test_half_of_the_smaller_side_must_be_shared_to_pair(shared: int, paired: bool) -> None:
    one, other = make_record(), make_record(image_prefix="other")
    images = (*one.measured.images[:shared], *other.measured.images[shared:])
    found = pair(one, other.replace(measured=other.measured.replace(images=images)))
    assert found.same_images is paired
    assert found.a.shape[1] == (shared if paired else 20)


def test_common_seeds_are_compared_and_the_others_left_out() -> None:
    found = pair(make_record(seeds=(0, 1, 2), wrong={2: (5,)}), make_record(seeds=(2, 1, 7), wrong={2: (5, 6)}))
    assert found.a.shape == (2, 20)
    assert found.a.sum(axis=1).tolist() == [0, 1]
    assert found.b.sum(axis=1).tolist() == [0, 2]
    assert found.notes == ("only the seeds 1, 2 are on both sides; the others were left out",)


def test_other_seeds_are_two_samples() -> None:
    found = pair(make_record(seeds=(0, 1)), make_record(seeds=(2, 3, 4)))
    assert (found.a.shape, found.b.shape, found.same_seeds) == ((2, 20), (3, 20), False)
    assert found.test.startswith("paired by image; weaker: the seeds differ")
    assert found.notes == ("no seed is the same: 0, 1 in A, 2, 3, 4 in B",)


@pytest.mark.parametrize(("here", "there"), [((0,), (1,)), ((0,), (1, 2, 3)), ((1, 2, 3), (0,))])
def test_one_device_against_others_is_refused(here: tuple[int, ...], there: tuple[int, ...]) -> None:
    """How devices differ does not show: the test would be of the images alone, and find another device in every second comparison."""
    with pytest.raises(InputError, match=r"no seed is the same \(.* in A, .* in B\), and of one device alone"):
        pair(make_record(seeds=here), make_record(seeds=there))


def test_the_same_single_seed_is_paired() -> None:
    assert pair(make_record(seeds=(3,)), make_record(seeds=(3,))).test == "paired by image and seed"


def test_nothing_shared_is_two_samples_of_both() -> None:
    found = pair(make_record(seeds=(0, 1)), make_record(seeds=(2, 3), image_prefix="other"))
    assert found.test == "two samples; weaker: neither images nor seeds are the same"


def test_a_changed_case_is_named_field_by_field() -> None:
    one = make_record(conversion=Conversion(adc=ADC(bits=8), tile_shape=(64, 64)))
    other = make_record(conversion=Conversion(adc=ADC(bits=6)), nonidealities=(DeviceFaults(hrs_proportion=0.1),))
    (note,) = pair(one, other).notes
    assert note == (
        "the case is another one: conversion.tile_shape [64, 64] -> None, conversion.adc.bits 8 -> 6, nonidealities [] -> [device_faults]"
    )


def test_only_a_few_fields_are_named() -> None:
    device = Conversion().device.replace(r_on=1e3, r_off=1e5)
    one, other = (
        make_record(),
        make_record(subset_seed=3, batch_size=5, conversion=Conversion(device=device, max_input_voltage=1.0)),
    )
    changed = next(note for note in pair(one, other).notes if note.startswith("the case"))
    assert "conversion.device.r_on 50.0 -> 1000.0" in changed
    assert changed.endswith("and 2 more")


def test_other_engines_weights_and_networks_are_said() -> None:
    one = make_record()
    assert pair(one, make_record(engine="vectorized")).notes == ("other engines: memtorch in A, vectorized in B",)
    assert pair(one, make_record(weights="b" * 64, digital_wrong=(1,))).notes == (
        "other weights: 100.00 % digital in A, 95.00 % in B; each loss is against its own",
    )
    (note,) = pair(one, make_record(network="vgg-mnist", weights="b" * 64)).notes
    assert note == "other networks: tiny in A, vgg-mnist in B; each loss is against its own"


def test_name_description_and_thresholds_are_no_change_of_the_case() -> None:
    assert pair(make_record(), make_record(name="other", description="another", max_loss_points=3)).notes == ()


def test_other_data_sets_are_refused() -> None:
    with pytest.raises(InputError, match="A was measured on mnist5k, B on cifar10"):
        pair(make_record(), make_record(dataset="cifar10"))


def test_other_labels_are_refused() -> None:
    with pytest.raises(InputError, match=r"image [0-9a-f]{16} is of class 4 in A and 5 in B: the data set is not the same"):
        pair(make_record(), make_record(relabelled=(4,)))
