"""Second moments of graphs' inner values, against what torch and numpy make of the same."""

from pathlib import Path

import numpy as np
import pytest
import torch
from onnx import ModelProto, helper
from torch import Tensor

from artpack.runners.onnx import moments
from tests.graphs import tiny
from tests.runners.onnx.conftest import Start


def gram(rows: Tensor, count: int) -> Tensor:
    flat = rows.reshape(-1, rows.shape[-1]).double()
    return (flat.T @ flat / count).float()


def close(found: Tensor, wanted: Tensor) -> None:
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4 * float(wanted.abs().max()))
    assert torch.equal(found, found.T)


def inputs(made: ModelProto, count: int = 8) -> dict[str, Tensor]:
    return {name: torch.from_numpy(one) for name, one in tiny.inputs_of(made, count).items()}


def test_perceptron(start: Start) -> None:
    made = tiny.perceptron()
    x = inputs(made)["x"]
    w1 = torch.from_numpy(tiny.random(48, 64, seed=1) / 7)
    w2 = torch.from_numpy(tiny.random(40, 64, seed=2) / 8)

    found = start(made, {"x": x}).collect().hessians

    hidden = (x @ w1).relu()
    assert found.keys() == {"w1", "w2", "w3"}
    close(found["w1"], gram(x, 8))
    close(found["w2"], gram(hidden, 8))
    close(found["w3"], gram((hidden @ w2.T).relu(), 8))


def unfolded(x: Tensor, kernel: tuple[int, int], **window: tuple[int, int]) -> Tensor:
    """Return the windows of one group's channels, (batch, positions, channels x kernel)."""
    return torch.nn.functional.unfold(x, kernel, **window).mT


def test_convolutions(start: Start) -> None:
    made = tiny.convolution()
    x = inputs(made)["x"].flatten(0, 1)
    k1, bias = (
        torch.from_numpy(one) for one in (tiny.random(32, 3, 3, 2, seed=1), tiny.random(32, seed=2))
    )

    found = start(made, inputs(made)).collect().hessians

    padded = torch.nn.functional.pad(x, (2, 1, 1, 0))
    window = {"stride": (2, 1), "dilation": (1, 2)}
    groups = [unfolded(part, (3, 2), **window) for part in padded.chunk(2, dim=1)]
    close(found["k1"], (gram(groups[0], 8) + gram(groups[1], 8)) / 2)
    hidden = torch.nn.functional.conv2d(padded, k1, bias, groups=2, **window)
    same = torch.nn.functional.pad(hidden, (0, 1, 1, 1))
    close(found["k2"], gram(unfolded(same, (3, 2)), 8))


@pytest.mark.parametrize(("auto_pad", "pads"), [("SAME_UPPER", (1, 2)), ("SAME_LOWER", (2, 1))])
def test_padding_to_the_same_size(auto_pad: str, pads: tuple[int, int], start: Start) -> None:
    node = helper.make_node("Conv", ["x", "k"], ["y"], auto_pad=auto_pad, strides=[2])
    shapes: dict[str, list[int | str]] = {"x": [1, 2, 8]}
    made = tiny.model(tiny.graph([node], shapes, {"y": [1, 32, 4]}, {"k": tiny.random(32, 2, 5)}))
    x = inputs(made)["x"]

    found = start(made, {"x": x}).collect().hessians["k"]

    padded = torch.nn.functional.pad(x[:, 0], pads)
    windows = padded.unfold(2, 5, 2).movedim(1, 2).flatten(2)
    close(found, gram(windows, 8))


def test_blocks_of_windows_add_up(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny.convolution()
    whole = start(made, inputs(made)).collect().hessians
    monkeypatch.setattr("artpack.runners.onnx.sites.MAX_BLOCK", 64)

    for name, found in start(made, inputs(made)).collect().hessians.items():
        close(found, whole[name])


@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
def test_recurrent(direction: str, start: Start) -> None:
    made = tiny.recurrent(direction)
    x = inputs(made, 4)["x"]
    run = start(made, {"x": x})

    found = run.collect().hessians

    ways = ["forward", "reverse"] if direction == "bidirectional" else [direction]
    w = torch.from_numpy(tiny.random(len(ways), 128, 40, seed=1) / 4)
    r = torch.from_numpy(tiny.random(len(ways), 128, 32, seed=2) / 4)
    for place, way in enumerate(ways):
        steps = x if way == "forward" else x.flip(1)
        close(found[f"w.{place}"], gram(x, 4))
        close(found[f"r.{place}"], gram(states_of(steps, w[place], r[place]), 4))


def states_of(x: Tensor, w: Tensor, r: Tensor) -> Tensor:
    """Return the states that an LSTM starts its steps from, (samples, steps, ...); all but 0."""
    h = c = torch.zeros(len(x), x.shape[2], 32)
    states = []
    for step in x.unbind(1)[:-1]:
        i, o, f, g = (step @ w.T + h @ r.T).chunk(4, -1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        states.append(h)
    return torch.stack(states)


def test_a_table_that_multiplies(start: Start) -> None:
    made = tiny.tied()
    ids = torch.arange(24.0).reshape(8, 3)
    table = torch.from_numpy(tiny.random(64, 32, seed=1))

    found = start(made, {"x": ids}).collect().hessians

    assert found.keys() == {"table"}
    close(found["table"], gram(table[:24], 8))


def test_only_the_branch_that_was_taken_is_seen(start: Start) -> None:
    made = tiny.branches()
    x = tiny.inputs_of(made)["x"]
    positive = x * np.sign(x.sum((1, 2), keepdims=True))

    found = start(made, {"x": positive}).collect()
    both = start(made, {"x": x}).collect().hessians

    # Attributes of a node are sorted by name: w is the else branch's.
    assert found.hessians.keys() == {"w.2"}
    close(found.hessians["w.2"], gram(torch.from_numpy(positive), 8))
    assert both.keys() == {"w", "w.2"}
    close(both["w"] + both["w.2"], gram(torch.from_numpy(x), 8))


def test_every_turn_of_a_loop_counts(start: Start) -> None:
    made = tiny.loop()
    x = inputs(made)["x"]
    w = torch.from_numpy(tiny.random(32, 32) / 4)

    found = start(made, {"x": x}).collect().hessians["w"]

    states = [x]
    for _ in range(2):
        states.append((states[-1] @ w).tanh())
    close(found, gram(torch.stack(states), 8))


def test_a_matrix_that_a_function_is_handed(start: Start) -> None:
    made = tiny.function()
    x = inputs(made)["x"]

    found = start(made, {"x": x}).collect().hessians

    close(found["w1"], gram(x, 8))


def test_halves_are_summed_in_floats(start: Start) -> None:
    made = tiny.halves()
    x = inputs(made)["x"]

    close(start(made, {"x": x}).collect().hessians["w"], gram(x.half().float(), 8))


def test_stacks_see_their_own_share(start: Start) -> None:
    made = tiny.model(
        tiny.graph(
            [helper.make_node("MatMul", ["x", "experts"], ["y"])],
            {"x": [3, "n", 40]},
            {"y": [3, "n", 36]},
            {"experts": tiny.random(3, 40, 36)},
        )
    )
    x = inputs(made)["x"]

    found = start(made, {"x": x}).collect().hessians

    for expert in range(3):
        close(found[f"experts.{expert}"], gram(x[:, expert], 8))


def test_groups_of_sites_make_no_difference(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    made = tiny.perceptron()
    whole = start(made, tiny.inputs_of(made)).collect().hessians
    monkeypatch.setattr(moments, "SITES_AT_ONCE", 1)

    told: list[tuple[int, int]] = []

    def listen(phase: str, done: int, total: int, note: str = "") -> None:
        told.append((done, total))

    run = start(made, tiny.inputs_of(made))
    found = run.collect(listen).hessians

    assert all(torch.equal(found[name], whole[name]) for name in whole)
    assert told == [(done, 24) for done in range(1, 25)]


def test_wide_matrices_go_without(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "MAX_COLUMNS", 50)
    made = tiny.perceptron()

    assert start(made, tiny.inputs_of(made)).collect().hessians.keys() == {"w1", "w3"}


def test_the_same_inputs_make_the_same_fingerprint(start: Start, tmp_path: Path) -> None:
    made = tiny.perceptron()
    x = tiny.inputs_of(made)["x"]
    np.savez(tmp_path / "x.npz", x=x)

    first, second = start(made, {"x": x}), start(made, tmp_path / "x.npz")
    third = start(made, ({"x": one} for one in x))

    assert first.collect().fingerprint == second.collect().fingerprint
    assert first.batches_sha256 == third.batches_sha256
    assert first.batches_sha256 != start(made, {"x": x[:7]}).batches_sha256
