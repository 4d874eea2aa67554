"""Recurrent layers and attention against the same computed step by step."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

from tests.calibration.sums import Reference, assert_same_sums, collected, draw, frozen

Reached = list[tuple[str, Tensor, Tensor]]
"""Name of a matrix, what it is multiplied with, and the output, of which a gradient is kept."""


class Unrolled:
    """A recurrent layer that keeps everything that it multiplies."""

    def __init__(self, module: nn.RNNBase) -> None:
        self.module, self.reached = module, list[tuple[str, Tensor, Tensor]]()

    def multiply(self, name: str, x: Tensor) -> Tensor:
        output: Tensor = (x @ getattr(self.module, name).T).requires_grad_()
        output.retain_grad()
        self.reached.append((name, x, output))
        return output

    def __call__(self, x: Tensor) -> Tensor:
        """Return (steps, batch, outputs) from (steps, batch, inputs)."""
        for layer in range(self.module.num_layers):
            sides = [self.direction(x, f"l{layer}")]
            if self.module.bidirectional:
                sides.append(self.direction(x.flip(0), f"l{layer}_reverse").flip(0))
            x = torch.cat(sides, -1)
        return x

    def direction(self, x: Tensor, suffix: str) -> Tensor:
        width = self.module.proj_size or self.module.hidden_size
        hidden = x.new_zeros(x.shape[1], width)
        cell = x.new_zeros(x.shape[1], self.module.hidden_size)
        outputs = []
        for step in x:
            hidden, cell = self.step(step, hidden, cell, suffix)
            outputs.append(hidden)
        return torch.stack(outputs)

    def step(self, x: Tensor, hidden: Tensor, cell: Tensor, suffix: str) -> tuple[Tensor, Tensor]:
        ih = self.multiply(f"weight_ih_{suffix}", x)
        hh = self.multiply(f"weight_hh_{suffix}", hidden)
        if self.module.bias:
            ih = ih + getattr(self.module, f"bias_ih_{suffix}")
            hh = hh + getattr(self.module, f"bias_hh_{suffix}")
        if isinstance(self.module, nn.RNN):
            return (ih + hh).tanh(), cell
        if isinstance(self.module, nn.GRU):
            reset, update = (ih + hh)[:, : 2 * cell.shape[1]].sigmoid().chunk(2, 1)
            new = (ih.chunk(3, 1)[2] + reset * hh.chunk(3, 1)[2]).tanh()
            return (1 - update) * new + update * hidden, cell
        keep, forget, new, out = (ih + hh).chunk(4, 1)
        cell = forget.sigmoid() * cell + keep.sigmoid() * new.tanh()
        hidden = out.sigmoid() * cell.tanh()
        projected = self.module.proj_size
        return (self.multiply(f"weight_hr_{suffix}", hidden) if projected else hidden), cell


def add(expected: Reference, reached: Reached) -> None:
    for name, x, output in reached:
        expected.inputs(name, x)
        if output.grad is not None:
            expected.gradients(name, output.grad)


KINDS: list[tuple[Any, dict[str, Any]]] = [
    (nn.LSTM, {}),
    (nn.LSTM, {"num_layers": 2, "bidirectional": True}),
    (nn.LSTM, {"proj_size": 2, "num_layers": 2, "bias": False}),
    (nn.GRU, {}),
    (nn.GRU, {"num_layers": 2, "bidirectional": True}),
    (nn.RNN, {"num_layers": 2}),
]


def make(kind: Any, options: dict[str, Any], **more: Any) -> nn.RNNBase:
    torch.manual_seed(0)
    module: nn.RNNBase = frozen(kind(4, 3, **options, **more))
    return module


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_every_step_counts(kind: Any, options: dict[str, Any], *, batch_first: bool) -> None:
    module, x = make(kind, options, batch_first=batch_first), draw(5, 2, 4)
    unrolled, expected = Unrolled(module), Reference()
    output = unrolled(x)
    g = draw(*output.shape, seed=1)
    torch.autograd.backward(output, g)
    add(expected, unrolled.reached)
    if batch_first:
        x, g = x.transpose(0, 1), g.transpose(0, 1)
    assert_same_sums(
        collected(dict(module.named_parameters()), lambda: module(x)[0], g), expected.sums
    )


@pytest.mark.parametrize(("kind", "options"), KINDS)
def test_sequences_of_other_lengths(kind: Any, options: dict[str, Any]) -> None:
    module, x, lengths = make(kind, options), draw(5, 3, 4), torch.tensor([5, 3, 3])
    packed, expected = pack_padded_sequence(x, lengths), Reference()
    for i, length in enumerate(lengths):
        unrolled = Unrolled(module)
        torch.autograd.backward(unrolled(x[:length, i : i + 1]).sum())
        add(expected, unrolled.reached)

    def run() -> Tensor:
        output: PackedSequence = module(packed)[0]
        return output.data

    got = collected(dict(module.named_parameters()), run, torch.ones_like(run()))
    assert_same_sums(got, expected.sums)


def test_without_gradients_nothing_is_fused_either() -> None:
    module, x = make(nn.LSTM, {}), draw(5, 2, 4).float()
    got = collected(dict(module.float().named_parameters()), lambda: module(x)[0])
    assert sorted(got) == ["hessian weight_hh_l0", "hessian weight_ih_l0"]


def test_fused_kernels_are_back_afterwards() -> None:
    before = torch.backends.mkldnn.enabled, torch.backends.mha.get_fastpath_enabled()
    module = make(nn.LSTM, {})
    collected(dict(module.named_parameters()), lambda: module(draw(5, 2, 4))[0])
    assert (torch.backends.mkldnn.enabled, torch.backends.mha.get_fastpath_enabled()) == before


def attend(module: nn.MultiheadAttention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return softmax attention of projected (batch, tokens, dim)."""
    heads = [part.view(*part.shape[:2], module.num_heads, -1).transpose(1, 2) for part in (q, k, v)]
    scores = heads[0] @ heads[1].mT / heads[0].shape[-1] ** 0.5
    mixed: Tensor = (scores.softmax(-1) @ heads[2]).transpose(1, 2).flatten(2)
    return mixed


@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("how", ["self", "cross", "other widths"])
def test_attention(how: str, *, need_weights: bool) -> None:
    widths = (6, 5) if how == "other widths" else (4, 4)
    options = {"kdim": widths[0], "vdim": widths[1]} if how == "other widths" else {}
    module = frozen(nn.MultiheadAttention(4, 2, batch_first=True, **options))
    query, key, value = draw(2, 5, 4), draw(2, 3, widths[0], seed=1), draw(2, 3, widths[1], seed=2)
    if how == "self":
        key = value = query
    if how == "other widths":
        names = ["q_proj_weight", "k_proj_weight", "v_proj_weight"]
        weights = [getattr(module, name) for name in names]
    else:
        names, weights = ["in_proj_weight"] * 3, list(module.in_proj_weight.chunk(3))
    inputs, biases = (query, key, value), module.in_proj_bias.chunk(3)
    projected = [
        (x @ weight.T + bias).requires_grad_()
        for x, weight, bias in zip(inputs, weights, biases, strict=True)
    ]
    mixed = attend(module, *projected)
    g, expected = draw(2, 5, 4, seed=3), Reference()
    gradients = torch.autograd.grad(mixed, projected, g @ module.out_proj.weight)
    expected.inputs("out_proj.weight", mixed)
    expected.gradients("out_proj.weight", g)
    for name, x in zip(names, inputs, strict=True):
        expected.inputs(name, x, 1 / names.count(name))
    if how == "self":
        expected.gradients("in_proj_weight", torch.cat(gradients, -1))
    elif how == "cross":  # queries are projected on their own, keys and values together
        expected.gradients("in_proj_weight", nn.functional.pad(gradients[0], (0, 8)))
        kept = [nn.functional.pad(gradients[1], (4, 4)), nn.functional.pad(gradients[2], (8, 0))]
        for part in kept:
            expected.gradients("in_proj_weight", part)
    else:
        for name, gradient in zip(names, gradients, strict=True):
            expected.gradients(name, gradient)
    places = {name: p for name, p in module.named_parameters() if p.ndim == 2}
    got = collected(places, lambda: module(query, key, value, need_weights=need_weights)[0], g)
    assert_same_sums(got, expected.sums)


@pytest.mark.parametrize("norm_first", [False, True])
def test_a_transformer_in_evaluation_mode(*, norm_first: bool) -> None:
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True, norm_first=norm_first)
    model = frozen(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False))
    x, expected = draw(2, 5, 4), Reference()
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and "out_proj" not in name:
            module.register_forward_pre_hook(
                lambda _, args, name=name: expected.inputs(f"{name}.weight", args[0])
            )
        if isinstance(module, nn.MultiheadAttention):
            module.register_forward_pre_hook(
                lambda _, args, name=name: expected.inputs(f"{name}.in_proj_weight", args[0])
            )
    with torch.no_grad():
        model(x.clone().requires_grad_())
    sums = dict(expected.sums)
    for module in model.modules():
        module._forward_pre_hooks.clear()
    places = {name: p for name, p in model.named_parameters() if p.ndim == 2}
    got = collected(places, lambda: model(x))
    assert {name.split(" ")[1] for name in got} == set(places)
    assert_same_sums({name: got[name] for name in sums}, sums)
