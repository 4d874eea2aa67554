"""A model's calibration: names, numbers, and what it does not depend on."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import artpack
from artpack.calibration.collect import CALIBRATION, calibrate, collect
from artpack.calibration.windows import Windows, cut_windows
from artpack.checkpoint import from_state_dict
from artpack.errors import UsageError
from artpack.models import GPT
from artpack.models.generate import draw_tokens
from artpack.models.head import TiedHead
from artpack.models.linear import Embedding, Linear
from artpack.runners.batches import TokenBatches
from artpack.runners.gpt import GptRunner
from artpack.runners.places import places
from artpack.runners.self_generate import self_generate
from artpack.runners.settings import Settings
from tests.models.conftest import make_tiny, tiny

__all__ = ["make_tiny", "tiny"]  # fixtures

ROOT = Path(artpack.__file__).parents[1]
SMALL_BATCHES = replace(CALIBRATION, batch_tokens=16)
SCRIPT = Path(__file__).with_name("calibrate_on_ranks.py")


def some_windows(count: int = 3, tokens: int = 8) -> Windows:
    return np.random.default_rng(5).integers(0, 61, (count, tokens))


def test_every_statistic_has_the_name_and_shape_of_what_is_stored(tiny: GPT) -> None:
    checkpoint = from_state_dict(tiny.state_dict())
    found = calibrate(
        GptRunner(tiny),
        TokenBatches(some_windows(), 1024),
        places(tiny),
        weights_sha256=checkpoint.weights_sha256,
    )
    stored = {info.name: info.shape for info in checkpoint.tensors}
    found.check_fit(stored, weights_sha256=checkpoint.weights_sha256)
    matrices = {name for name in stored if name.endswith((".weight", ".attn_gate_w"))}
    tables = {name for name in matrices if "emb" in name and "proj" not in name}
    assert set(found.hessians) == matrices - tables | {"tok_emb.weight"}
    assert set(found.lookup_information) == tables
    assert set(found.row_information) == set(found.output_covariances) == set(found.hessians)
    assert found.tokens == 24


class Reference:
    """Adds a zero to every output in float64 and asks autograd for its gradient; no hooks."""

    def __init__(self, model: GPT) -> None:
        self.inputs: dict[str, list[Tensor]] = {}
        self.zeros: dict[str, list[Tensor]] = {}
        for name, module in model.named_modules():
            if isinstance(module, Linear):
                self.listen(f"map {name}.weight", module)
            if isinstance(module, Embedding):
                self.listen(f"table {name}.weight", module)
            if isinstance(module, TiedHead):
                self.listen("map tok_emb.weight", module)

    def listen(self, name: str, module: nn.Module) -> None:
        module.forward = partial(self.forward, name, module.forward)

    def forward(self, name: str, plain: Callable[..., Tensor], x: Tensor, *rest: Tensor) -> Tensor:
        output = plain(x, *rest)
        zero = torch.zeros_like(output, requires_grad=True)
        self.inputs.setdefault(name, []).append(x.detach())
        self.zeros.setdefault(name, []).append(zero)
        return output + zero


def reference_sums(model: GPT, ids: Tensor, draws: Tensor) -> dict[str, Tensor]:
    reference = Reference(model)
    logits = model(ids).flatten(0, 1)
    loss = F.cross_entropy(logits, draw_tokens(logits.detach(), draws.flatten()), reduction="sum")
    sums: dict[str, Tensor] = {}
    for full, zeros in reference.zeros.items():
        role, name = full.split()
        for x, zero in zip(reference.inputs[full], zeros, strict=True):
            gradient = torch.autograd.grad(loss, zero, retain_graph=True)[0].flatten(0, -2)
            if role == "map":
                flat = x.flatten(0, -2)
                found = {
                    "hessian": flat.T @ flat,
                    "rows": gradient.square().sum(0),
                    "output_covariances": gradient.T @ gradient,
                }
            else:
                chosen = F.one_hot(x.flatten(), dict(model.state_dict())[name].shape[0])
                found = {"lookups": chosen.T.double() @ gradient.square().mean(1)}
            for kind, value in found.items():
                sums[f"{kind} {name}"] = sums.get(f"{kind} {name}", torch.tensor(0.0)) + value
    head = list(reference.zeros)[-1]
    (zero,) = reference.zeros[head]
    slopes = torch.autograd.grad(logits.sum(), zero)[0].flatten(0, -2)
    sums[f"rows {head.split()[1]}"] = mean_squares(logits.detach().softmax(-1), slopes)
    return sums


def mean_squares(probabilities: Tensor, slopes: Tensor) -> Tensor:
    """Average the squares of the gradient at the head over every label, by its probability."""
    total = torch.zeros(slopes.shape[1], dtype=torch.float64)
    for label in range(probabilities.shape[1]):
        drawn = (probabilities - F.one_hot(torch.tensor(label), probabilities.shape[1])) * slopes
        total += (probabilities[:, label, None] * drawn.square()).sum(0)
    return total


def collected_sums(
    model: GPT, windows: Windows, settings: Settings = CALIBRATION, **options: Any
) -> dict[str, Tensor]:
    batches = TokenBatches(windows, settings.batch_tokens)
    moments = collect(GptRunner(model), batches, places(model), settings=settings, **options)
    return {
        **{f"hessian {name}": total for name, total in moments.mean_hessians(1).items()},
        **{f"rows {name}": total for name, total in moments.mean_rows(1).items()},
        **{f"lookups {name}": total for name, total in moments.mean_lookups(1).items()},
        **{
            f"output_covariances {name}": total
            for name, total in moments.mean_output_covariances(1).items()
        },
    }


def assert_same_sums(got: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Compare float32 sums with others."""
    assert got.keys() == expected.keys()
    for name, total in expected.items():
        atol = 1e-6 * float(total.abs().max())
        torch.testing.assert_close(got[name].double(), total.double(), rtol=1e-5, atol=atol)


def test_sums_are_those_of_a_slow_reference(tiny: GPT) -> None:
    windows = some_windows()
    got = collected_sums(tiny, windows, seed=3, settings=SMALL_BATCHES)
    # The reference knows modules only, and these gates are none.
    got = {name: total for name, total in got.items() if not name.endswith("attn_gate_w")}
    draws = torch.from_numpy(np.random.default_rng(3).random(windows.shape, np.float32))
    assert_same_sums(got, reference_sums(tiny, torch.from_numpy(windows), draws))


def test_batches_do_not_matter_and_seeds_do(make_tiny: Callable[[str], GPT]) -> None:
    model, windows = make_tiny("pr1123"), some_windows()
    whole = collected_sums(model, windows)
    assert_same_sums(collected_sums(model, windows, settings=SMALL_BATCHES), whole)
    other = collected_sums(model, windows, seed=1)
    name = "blocks.0.attn.c_q.weight"
    assert torch.equal(other[f"hessian {name}"], whole[f"hessian {name}"])
    assert not torch.equal(other[f"rows {name}"], whole[f"rows {name}"])


def test_without_fisher_there_are_hessians_only(make_tiny: Callable[[str], GPT]) -> None:
    model, batches = make_tiny("lm6m"), TokenBatches(some_windows(), 1024)
    found = calibrate(GptRunner(model), batches, places(model), weights_sha256="", fisher=False)
    assert found.hessians
    assert not found.row_information
    assert not found.lookup_information
    assert not found.output_covariances


def test_the_model_is_left_as_it_was(make_tiny: Callable[[str], GPT]) -> None:
    model = make_tiny("lm6m")
    model.skip_weights.requires_grad = False
    before = [parameter.requires_grad for parameter in model.parameters()]
    collect(GptRunner(model), TokenBatches(some_windows(), 1024), places(model))
    assert [parameter.requires_grad for parameter in model.parameters()] == before
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_windows_are_spread_over_the_stream() -> None:
    ids = np.arange(103, dtype=np.uint16)
    assert cut_windows(ids, 10)[:, 0].tolist() == list(range(0, 100, 10))
    assert cut_windows(ids, 10, limit_tokens=49)[:, 0].tolist() == [0, 20, 50, 70]
    assert cut_windows(ids, 10, limit_tokens=3).tolist() == [list(range(10))]
    assert cut_windows(ids[:4], 10).tolist() == [[0, 1, 2, 3]]
    with pytest.raises(UsageError, match="no tokens"):
        cut_windows(ids[:0], 10)


def test_a_model_writes_windows_that_start_with_bos(make_tiny: Callable[[str], GPT]) -> None:
    model = GptRunner(make_tiny("pr576"))
    windows = self_generate(model, 3, 12, bos_id=7, seed=2)
    assert windows.shape == (3, 12)
    assert windows[:, 0].tolist() == [7, 7, 7]
    assert len(np.unique(windows)) > 10
    assert np.array_equal(windows[:2], self_generate(model, 2, 12, bos_id=7, seed=2))
    assert not np.array_equal(windows, self_generate(model, 3, 12, bos_id=7, seed=3))
    cold = self_generate(model, 2, 12, bos_id=7, seed=2, temperature=1e-6)
    assert np.array_equal(cold[0], cold[1])
    with pytest.raises(UsageError, match="cannot start with id 61"):
        self_generate(model, 2, 12, bos_id=61)


def test_two_processes_collect_what_one_does(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    pair = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    common = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    runs = {"alone": {}, **{r: {**pair, "RANK": r, "LOCAL_RANK": r} for r in "01"}}
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, str(SCRIPT), str(tmp_path / name)],
                    env={**common, **environment},
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            for name, environment in runs.items()
        ]
        for process in processes:
            stack.callback(process.kill)
        for process in processes:
            error = process.communicate(timeout=120)[1]
            assert process.returncode == 0, error
    alone, *ranks = (load_file(tmp_path / name) for name in runs)
    for rank in ranks:
        assert_same_sums(rank, alone)
    assert all(torch.equal(ranks[0][name], ranks[1][name]) for name in alone)


@pytest.mark.cuda
def test_a_gpu_collects_what_a_cpu_does(make_tiny: Callable[[str], GPT]) -> None:
    windows = some_windows()
    here = collected_sums(make_tiny("pr1934"), windows)
    there = make_tiny("pr1934").to("cuda")
    found = collected_sums(there, windows, settings=replace(SMALL_BATCHES, device="cuda"))
    assert_same_sums(found, here)
