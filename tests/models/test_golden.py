"""
Inputs and outputs of the published systems on small random models.

The models run in float64, so that what is measured is the distance of the
published float32 outputs from the exact ones and not our own rounding too.
Tolerances are those of the data's README.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from artpack.models import GPT, Documents, ModelConfig, build
from artpack.models.embeddings import bigram_rows
from artpack.models.mechanisms import Simulated
from artpack.models.published import from_seed_config
from tests.models.published_qat import PR576_QAT, PR1123_QAT

SYSTEMS = ("pr2086", "pr1934", "pr576", "pr1123", "pr826")
LOGITS_TOLERANCE = {"pr1934": 2e-4, "pr826": 2e-4}
LOSS_TOLERANCE = 1e-5


@dataclass(frozen=True)
class Case:
    """One golden folder."""

    system: str
    config: ModelConfig
    weights: dict[str, Tensor]
    arrays: Mapping[str, Tensor]

    def model(self, dtype: torch.dtype = torch.float64) -> GPT:
        return build(self.config, self.weights, dtype=dtype)

    def variant(self, simulated: tuple[Simulated, ...]) -> GPT:
        return replace(self, config=replace(self.config, simulated=simulated)).model()

    @property
    def logits_tolerance(self) -> float:
        return LOGITS_TOLERANCE.get(self.system, 2e-5)

    def check_logits(self, got: Tensor, name: str) -> None:
        assert largest_difference(got, self.arrays[name]) < self.logits_tolerance, name

    def check_losses(self, logits: Tensor, name: str, targets: str = "target_ids") -> None:
        got = losses(logits, self.arrays[targets].view(logits.shape[:-1]))
        assert largest_difference(got, self.arrays[name].view_as(got)) < LOSS_TOLERANCE, name


def largest_difference(got: Tensor, expected: Tensor) -> float:
    assert got.shape == expected.shape
    return (got.double() - expected.double()).abs().max().item()


def losses(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(
        targets
    )


def read_case(shared: Path, system: str) -> Case:
    folder = shared / "golden" / system / "A"
    with np.load(folder / "io.npz") as arrays:
        tensors = {name: torch.from_numpy(arrays[name]) for name in arrays}
    return Case(
        system=system,
        config=from_seed_config(json.loads((folder / "config.json").read_text())),
        weights=load_file(folder / "state_dict.safetensors"),
        arrays=tensors,
    )


@pytest.mark.parametrize("system", SYSTEMS)
@torch.no_grad()
def test_a_published_system_gives_its_own_logits(shared: Path, system: str) -> None:
    case = read_case(shared, system)
    logits = case.model()(case.arrays["input_ids"])
    case.check_logits(logits, "logits")
    case.check_losses(logits, "losses" if "losses" in case.arrays else "per_token_loss")


@pytest.mark.parametrize("system", SYSTEMS)
@torch.no_grad()
def test_float32_is_as_close(shared: Path, system: str) -> None:
    case = read_case(shared, system)
    case.check_logits(case.model(torch.float32)(case.arrays["input_ids"]), "logits")


@torch.no_grad()
def test_pr2086_puts_its_weights_on_their_grids(shared: Path) -> None:
    case = read_case(shared, "pr2086")
    model = case.model(torch.float32)
    names = [name for name in case.arrays if name.startswith("weff__")]
    assert len(names) == 3
    for name in names:
        module = model.get_submodule(name.split("__")[1].removesuffix(".weight"))
        assert torch.equal(module.effective_weight(), case.arrays[name])  # type: ignore[operator]


@torch.no_grad()
def test_pr2086_prepared_for_training_rounds_weights_and_rope_to_bf16(shared: Path) -> None:
    case = read_case(shared, "pr2086")
    prepared = replace(
        case,
        config=replace(case.config, rope=replace(case.config.rope, arithmetic="bf16")),
        weights={name: weight.bfloat16().float() for name, weight in case.weights.items()},
    )
    logits = prepared.model()(case.arrays["input_ids"])
    prepared.check_losses(logits, "main_prep__losses")
    prepared.check_logits(logits[:, -8:], "main_prep__logits_last8")


@torch.no_grad()
def test_pr1934_runs_without_its_loop(shared: Path) -> None:
    case = read_case(shared, "pr1934")
    assert case.config.loop is not None
    unlooped = replace(case.config, loop=replace(case.config.loop, active=False))
    logits = replace(case, config=unlooped).model()(case.arrays["input_ids"])
    case.check_logits(logits, "logits_looping_inactive")


@torch.no_grad()
def test_pr1934_packs_documents_as_published(shared: Path) -> None:
    case = read_case(shared, "pr1934")
    ids = case.arrays["input_ids"].view(1, -1)
    starts = torch.zeros_like(ids, dtype=torch.bool)
    bounds = case.arrays["varlen_cu_seqlens"].long()
    starts[0, bounds[bounds < ids.numel()]] = True
    logits = case.model()(ids, Documents.from_starts(starts))
    case.check_logits(logits, "logits_varlen")
    got = losses(logits, case.arrays["target_ids"].view(1, -1))[0]
    stored = case.arrays["per_token_loss_varlen"]
    # One stored float32 loss is 1.07e-5 from the exact one: single losses are held to the
    # tolerance of the logits that they are made of, their mean to that of losses.
    assert largest_difference(got, stored) < case.logits_tolerance
    assert largest_difference(got.mean(), stored.double().mean()) < LOSS_TOLERANCE


@torch.no_grad()
def test_pr1934_agrees_after_every_layer(shared: Path) -> None:
    case = read_case(shared, "pr1934")
    model, streams, lanes = case.model(), [], []
    for block in model.get_submodule(case.config.names.blocks).children():
        block.register_forward_hook(lambda _block, _args, out: streams.append(out))
    model.lane_mix.register_forward_hook(lambda _mix, _args, out: lanes.append(torch.stack(out)))
    case.check_logits(model.embed(case.arrays["input_ids"]), "x0")
    case.check_logits(model.hidden(case.arrays["input_ids"]), "hidden_final")
    case.check_logits(torch.stack(streams), "sequential_block_outputs")
    case.check_logits(torch.stack(lanes), "parallel_lane_outputs")


@torch.no_grad()
def test_pr576_scores_without_temperature_and_beyond_its_reference_window(shared: Path) -> None:
    case = read_case(shared, "pr576")
    model = case.model()
    hidden = model.hidden(case.arrays["input_ids"])
    case.check_losses(model.logits(hidden, 1.0), "forward_no_temp__losses")
    logits = model(case.arrays["long__input_ids"])
    case.check_losses(logits, "long__losses", "long__target_ids")
    case.check_logits(logits[:, -16:], "long__logits_last16")


@torch.no_grad()
def test_pr576_trains_on_its_grid(shared: Path) -> None:
    case = read_case(shared, "pr576")
    model = case.variant(PR576_QAT)
    logits = model.logits(model.hidden(case.arrays["input_ids"]), 1.0)
    case.check_losses(logits, "train_qat_on__losses")
    case.check_logits(logits[:, -8:], "train_qat_on__logits_no_temp_last8")


@pytest.mark.parametrize(("mode", "simulated"), [("on", PR1123_QAT), ("off", ())])
@torch.no_grad()
def test_pr1123_trains_on_its_grids_or_off_them(
    shared: Path, mode: str, simulated: tuple[Simulated, ...]
) -> None:
    case = read_case(shared, "pr1123")
    logits = case.variant(simulated)(case.arrays["input_ids"])
    case.check_losses(logits, f"train_qat_{mode}__losses")
    case.check_logits(logits[:, -8:], f"train_qat_{mode}__logits_last8")


@torch.no_grad()
def test_pr826_agrees_at_every_stage(shared: Path) -> None:
    case = read_case(shared, "pr826")
    model, streams = case.model(), []
    for block in model.get_submodule(case.config.names.blocks).children():
        block.register_forward_hook(lambda _block, _args, out: streams.append(out))
    ids = case.arrays["input_ids"]
    hidden = model.hidden(ids)
    case.check_logits(model.embed(ids), "stem")
    case.check_logits(model.ve_shared(ids), "value_embedding")
    case.check_logits(torch.stack(streams), "block_outputs")
    case.check_logits(hidden, "hidden_final")
    temperature = float(case.arrays["temperature"])
    case.check_logits(model.logits(hidden, temperature), "logits_temperature")


@pytest.mark.parametrize("system", ["pr576", "pr1123", "pr826"])
def test_bigrams_hash_to_the_published_rows(shared: Path, system: str) -> None:
    case = read_case(shared, system)
    assert case.config.bigram is not None
    rows = bigram_rows(case.arrays["input_ids"], case.config.bigram.rows)
    assert torch.equal(rows, case.arrays["bigram_hash_ids"])


def decode_quinary(part: dict[str, Tensor]) -> Tensor:
    """Return the quinary weight whose mean magnitude a group is the stored scale."""
    scales, codes = part["scale_dequant_f16"].float()[:, None], part["codes_i8"].float()
    groups = codes.view(len(scales), -1)
    mean = groups.abs().mean(dim=1, keepdim=True).clamp(min=1e-8)
    return (groups * (scales / mean)).view(codes.shape)


def decode_pr2086(name: str, weight: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
    own = {key.split("__")[1]: part for key, part in parts.items() if key.startswith(f"{name}__")}
    if "scale_dequant_f16" in own:
        decoded = decode_quinary(own)
    elif weight.ndim == 2:
        decoded = weight.to(torch.float8_e4m3fn)
    else:
        decoded = weight.half()
    return decoded.bfloat16().float()


def decode_pr576(name: str, weight: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
    if f"gptq__{name}.q_i8" not in parts:
        return weight.half().float()
    scales = parts[f"gptq__{name}.scale_f16"].float()
    return parts[f"gptq__{name}.q_i8"].float() * scales[:, None]


def decode_pr1123(name: str, weight: Tensor, parts: Mapping[str, Tensor]) -> Tensor:
    if f"{name}__symbols_u8" not in parts:
        return weight.half().float()
    alphabet = len(parts[f"{name}__counts"])
    codes = parts[f"{name}__symbols_u8"].float() - alphabet // 2
    scaled = codes * parts[f"{name}__scales_f16"].float()[:, None]
    return scaled if alphabet == 5 else scaled / (alphabet // 2)


@pytest.mark.parametrize(
    ("system", "decode"),
    [("pr2086", decode_pr2086), ("pr576", decode_pr576), ("pr1123", decode_pr1123)],
)
@torch.no_grad()
def test_decoded_weights_give_the_published_logits(
    shared: Path, system: str, decode: Callable[[str, Tensor, Mapping[str, Tensor]], Tensor]
) -> None:
    case = read_case(shared, system)
    with np.load(shared / "golden" / system / "A" / "quant.npz") as arrays:
        parts = {key: torch.from_numpy(arrays[key]) for key in arrays}
    weights = {name: decode(name, weight, parts) for name, weight in case.weights.items()}
    logits = replace(case, weights=weights).model()(case.arrays["input_ids"])
    case.check_losses(logits, "roundtrip__losses")
    case.check_logits(logits[:, -8:], "roundtrip__logits_last8")
