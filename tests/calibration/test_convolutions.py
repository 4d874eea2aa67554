"""Convolutions against the same ones with unit kernels, which give their windows out."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from artpack.calibration import convolutions
from tests.calibration.sums import Reference, assert_same_sums, collected, draw, frozen

CASES: list[tuple[type[nn.Module], tuple[int, ...], dict[str, Any]]] = [
    (nn.Conv1d, (9,), {"kernel_size": 3}),
    (nn.Conv1d, (9,), {"kernel_size": 4, "stride": 2, "padding": 3, "dilation": 2, "groups": 2}),
    (nn.Conv1d, (9,), {"kernel_size": 1}),
    (nn.Conv2d, (9, 8), {"kernel_size": (2, 3), "stride": (3, 2), "padding": (1, 0)}),
    (nn.Conv2d, (9, 8), {"kernel_size": 3, "padding": "same"}),
    (nn.Conv2d, (9, 8), {"kernel_size": 3, "groups": 4, "padding": 1}),
    (nn.Conv2d, (9, 8), {"kernel_size": 3, "padding": 1, "padding_mode": "circular"}),
    (nn.Conv3d, (4, 5, 6), {"kernel_size": (1, 2, 3), "dilation": (1, 2, 1), "groups": 2}),
]


def kernel_of(module: nn.Module) -> Tensor:
    return module.get_parameter("weight")


def windows(module: nn.Module, x: Tensor) -> list[Tensor]:
    """Return what each group's rows are multiplied with, (inputs, positions, elements)."""
    _, inner, *kernel = kernel_of(module).shape
    count = inner * math.prod(kernel)
    units = torch.eye(count, dtype=x.dtype).view(count, inner, *kernel)
    options = {name: getattr(module, name) for name in ("kernel_size", "stride", "padding")}
    unit = type(module)(
        inner,
        count,
        **options,
        dilation=module.dilation,
        padding_mode=module.padding_mode,
        bias=False,
    )
    unit.weight = nn.Parameter(units, requires_grad=False)
    return [unit(part).flatten(2).mT for part in torch.split(x, inner, dim=1)]


@pytest.mark.parametrize(("kind", "size", "options"), CASES)
def test_inputs_and_gradients(
    kind: type[nn.Module], size: tuple[int, ...], options: dict[str, Any]
) -> None:
    module = frozen(kind(4, 8, **options))
    x = draw(3, 4, *size)
    g = torch.randn_like(module(x))
    expected = Reference()
    found = windows(module, x)
    for group in found:
        expected.inputs("w", group, 1 / len(found))
    expected.gradients("w", g.movedim(1, -1))
    got = collected({"w": kernel_of(module)}, lambda: module(x), g)
    assert_same_sums(
        {name: total.reshape(expected.sums[name].shape) for name, total in got.items()},
        expected.sums,
    )


def test_a_plain_one_is_what_torch_unfolds() -> None:
    module, x = (
        frozen(nn.Conv2d(2, 3, 3, stride=2, padding=1)),
        draw(2, 2, 7, 6),
    )
    expected = Reference()
    expected.inputs("w", F.unfold(x, 3, stride=2, padding=1).mT)
    assert_same_sums(collected({"w": kernel_of(module)}, lambda: module(x)), expected.sums)


def test_one_input_without_a_batch() -> None:
    module, x = frozen(nn.Conv1d(2, 3, 3)), draw(2, 7)
    expected = Reference()
    expected.inputs("w", windows(module, x[None])[0])
    assert_same_sums(collected({"w": kernel_of(module)}, lambda: module(x)), expected.sums)


def test_a_batch_in_parts_is_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = frozen(nn.Conv2d(2, 3, 3)), draw(5, 2, 7, 6)
    whole = collected({"w": kernel_of(module)}, lambda: module(x))
    monkeypatch.setattr(convolutions, "MAX_ELEMENTS", 2 * 20 * 18 + 1)
    assert_same_sums(collected({"w": kernel_of(module)}, lambda: module(x)), whole)


def test_a_cast_kernel_is_followed() -> None:
    module, x = frozen(nn.Conv2d(2, 3, 3)).float(), draw(2, 2, 7, 6).float()
    expected = Reference()
    expected.inputs("w", F.unfold(x.bfloat16().float(), 3).mT)

    def run() -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            output: Tensor = module(x)
            return output

    assert_same_sums(collected({"w": kernel_of(module)}, run), expected.sums)


def test_memory_with_channels_last_is_the_same() -> None:
    module, x = frozen(nn.Conv2d(4, 6, 3)), draw(2, 4, 7, 6)
    g = draw(2, 6, 5, 4, seed=1)
    plain = collected({"w": kernel_of(module)}, lambda: module(x), g)
    last = torch.channels_last
    module.weight = nn.Parameter(module.weight.contiguous(memory_format=last), requires_grad=False)
    x = x.contiguous(memory_format=last)
    assert_same_sums(collected({"w": kernel_of(module)}, lambda: module(x), g), plain)


def test_a_kernel_of_one_may_be_stored_as_a_matrix() -> None:
    weight, x = draw(3, 2), draw(2, 2, 7)
    expected = Reference()
    expected.inputs("w", x.mT)
    assert_same_sums(
        collected({"w": weight}, lambda: F.conv1d(x, weight[..., None])), expected.sums
    )


def test_transposed_ones_are_not_seen() -> None:
    module, x = frozen(nn.ConvTranspose1d(2, 3, 3)), draw(2, 2, 7)
    assert not collected({"w": kernel_of(module)}, lambda: module(x), draw(2, 3, 9))
