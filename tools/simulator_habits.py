#!/usr/bin/env python3
"""What each simulator does when it is used as it comes, beside what a profile says: python tools/simulator_habits.py [IMAGES]

Accuracy of the shipped networks with one habit at a time: defaults that add noise or quantise, settings that do nothing by themselves,
ranges, and how a matrix is spread over tiles. The table goes to docs/agreement.md by hand.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from unittest import mock

import torch
from tabulate import tabulate
from torch import Tensor, nn

from membench.case import ADC, Conversion
from membench.conversion import Clock, fabricate
from membench.datasets import DATASETS, balanced_order
from membench.engines import ENGINES
from membench.engines import aihwkit as ibm
from membench.engines import crosssim as sandia
from membench.models import NETWORKS, obtain
from membench.profiles import STUDY_DEVICE
from membench.runtime import isolated, pinned_threads

NETWORK = {"mnist5k": "vgg-mnist", "cifar10": "vgg-cifar10", "cifar100": "vgg-cifar100"}
IDEAL = Conversion(device=STUDY_DEVICE, tile_shape=(64, 64))
FIXED = IDEAL.replace(adc=ADC(bits=8, range="calibrated"))
Network = Callable[[Tensor], Tensor]


def profile(engine: str, model: nn.Module, conversion: Conversion, sample: Tensor) -> Network:
    """As membench translates the profile."""
    executor = ENGINES.get(engine)
    plan = executor.plan(model, conversion, (), sample[:2])
    return fabricate(executor, model, plan, conversion, (), 0, lambda *_: None, Clock(), sample)[0].infer


def aihwkit_as_it_comes(model: nn.Module, **changes: float) -> Network:
    """TorchInferenceRPUConfig with its defaults but for `changes` of its forward pass."""
    configuration = ibm._part("simulator.configs").TorchInferenceRPUConfig()
    for name, value in changes.items():
        setattr(configuration.forward, name, value)
    network: Network = ibm._part("nn.conversion").convert_to_analog(model, configuration).eval()
    return network


def crosssim_with(model: nn.Module, converter: str = "IdealADC", **adc: object) -> Network:
    """64 x 64 tiles and its defaults but for these parameters of its ADC."""
    given = sandia._part("").CrossSimParameters()
    given.core.rows_max = given.core.cols_max = 64
    given.xbar.device.Rmin, given.xbar.device.Rmax = STUDY_DEVICE.r_on, STUDY_DEVICE.r_off
    given.xbar.adc.mvm.model = converter
    for name, value in adc.items():
        setattr(given.xbar.adc.mvm, name, value)
    network: Network = sandia._part("algorithms.dnn.torch.convert").from_torch(model, given).eval()
    return network


def habits(model: nn.Module, sample: Tensor) -> Iterator[tuple[str, str, Network]]:
    """(simulator, habit, network) of each that is here."""
    yield "membench", "the profile: 64 x 64 tiles, no ADC", profile("vectorized", model, IDEAL, sample)
    yield "membench", "the profile: 8-bit ADC of a calibrated range", profile("vectorized", model, FIXED, sample)
    if ENGINES.get("aihwkit").problem() is None:
        yield "aihwkit", "the profile, 8-bit ADC", profile("aihwkit", model, FIXED, sample)
        with mock.patch.object(ibm, "_cutting", return_value=ibm._part("simulator.tiles.array").TileModuleArray):
            yield "aihwkit", "the same, but its own even tiles", profile("aihwkit", model, FIXED, sample)
        yield "aihwkit", "as it comes", aihwkit_as_it_comes(model)
        yield "aihwkit", "as it comes, without output noise", aihwkit_as_it_comes(model, out_noise=0.0)
        yield (
            "aihwkit",
            "as it comes, without noise and converters",
            aihwkit_as_it_comes(model, out_noise=0.0, out_res=-1.0, inp_res=-1.0),
        )
    if ENGINES.get("crosssim").problem() is None:
        yield "crosssim", "the profile, 8-bit ADC", profile("crosssim", model, FIXED, sample)
        with mock.patch.object(sandia, "_cut_at_whole_tiles"):
            yield "crosssim", "the same, but its own even tiles", profile("crosssim", model, FIXED, sample)
        limits = sandia._part("parameters.xbar_parameters").ADCRangeLimits
        yield "crosssim", "adc.mvm.bits = 8 alone", crosssim_with(model, bits=8)
        yield (
            "crosssim",
            "8-bit QuantizerADC, range MAX",
            crosssim_with(model, "QuantizerADC", bits=8, adc_range_option=limits.MAX),
        )


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    found: dict[tuple[str, str], list[str]] = {}
    with pinned_threads(1), torch.no_grad(), isolated(0):
        for data, name in NETWORK.items():
            dataset = DATASETS.get(data)
            test, train = dataset.load("test"), dataset.load("train")
            subset = test.take(balanced_order(test, 0)[:count])
            images, labels = dataset.normalise(subset.images), torch.as_tensor(subset.labels)
            sample = dataset.normalise(train.take(balanced_order(train, 0)[:64]).images)
            model = obtain(NETWORKS.get(name), dataset).model.eval()
            digital = torch.cat([model(batch) for batch in torch.split(images, 20)])
            found.setdefault(("digital", ""), []).append(f"{100 * float((digital.argmax(1) == labels).float().mean()):.1f}")
            for simulator, habit, network in habits(model, sample):
                logits = torch.cat([network(batch) for batch in torch.split(images, 20)])
                right = 100 * float((logits.argmax(1) == labels).float().mean())
                error = float((logits - digital).norm() / digital.norm())
                found.setdefault((simulator, habit), []).append(f"{right:.1f} ({error:.2g})")
                print(data, simulator, habit, f"{right:.1f} {error:.2g}", file=sys.stderr, flush=True)
    rows = [(*what, *cells) for what, cells in found.items()]
    print(tabulate(rows, headers=("simulator", "used", *NETWORK), tablefmt="github", disable_numparse=True))


if __name__ == "__main__":
    main()
