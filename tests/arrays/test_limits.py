"""The input limit, and an ADC that clips without tiles, against their definition."""

from __future__ import annotations

import math

import pytest
import torch
from test_layer import MODES, programmed
from torch import nn

from membench import ADC, Conversion


@MODES
@pytest.mark.parametrize("adc", [None, ADC(bits=16)], ids=["exact", "16 bit"])
@pytest.mark.parametrize("sign", [1.0, -1.0], ids=["positive", "negative"])
@pytest.mark.parametrize(
    ("digital", "shape"), [(nn.Linear(7, 5), (3, 7)), (nn.Conv2d(2, 5, 3, padding=1), (3, 2, 6, 6))], ids=["Linear", "Conv2d"]
)
def test_inputs_beyond_the_limit_are_scaled_before_the_product(
    digital: nn.Module, shape: tuple[int, ...], sign: float, adc: ADC | None, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMBENCH_KERNEL", mode)
    layer = programmed(digital, Conversion(max_input_voltage=0.5, adc=adc))
    x = torch.rand(shape, generator=torch.Generator().manual_seed(0)) * 0.4
    x[1] *= 5
    x[1].view(-1)[0] = 4.0
    x *= sign
    tops = x.abs().flatten(1).amax(1).clamp(min=0.5)
    tops = tops.max().expand(3) if isinstance(digital, nn.Linear) else tops
    fitted = x * (0.5 / tops).view(-1, *[1] * (x.ndim - 1))
    wanted = digital(fitted).detach() + layer.offset
    torch.testing.assert_close(layer(x), wanted, rtol=0, atol=(1e-5 if adc is None else 1e-3) * float(wanted.abs().max()))


@MODES
def test_an_overflow_rate_without_tiles_clips_in_both_modes(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MEMBENCH_KERNEL", mode)
    layer = programmed(nn.Linear(7, 40, bias=False), Conversion(adc=ADC(bits=6, overflow_rate=0.5)))
    x = torch.randn(3, 7, generator=torch.Generator().manual_seed(0))
    full = programmed(nn.Linear(7, 40, bias=False), Conversion())
    full.load_state_dict(layer.state_dict())
    exact, found = (full(x) - full.offset), (layer(x) - layer.offset)
    median = exact.abs().flatten().sort().values[60]
    assert float(found.abs().max()) <= 2 ** math.ceil(math.log2(float(median / layer.gain))) * float(layer.gain) * 1.001
    assert float(found.abs().max()) < float(exact.abs().max())
