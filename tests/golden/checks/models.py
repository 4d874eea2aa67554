"""Models: the checkpoint loads, and every stored intermediate result comes out again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor, nn

from artpack.models import GPT, Documents, ModelConfig, build, expected_shapes
from artpack.models.block import Block
from artpack.models.embeddings import bigram_rows
from artpack.models.linear import Weighted
from artpack.models.published import from_published_config
from artpack.models.residual import LaneMix
from artpack.models.rope import rope_frequencies, rope_tables
from tests.golden.checks.case import Case, Entries
from tests.golden.checks.report import Report
from tests.golden.checks.rope import check_published_tables
from tests.models.published_qat import PR576_QAT, PR1123_QAT

LOOSE = {"pr1934", "pr826"}
"""Systems whose stored logits lie further from a float64 run."""
TOLERANCES = {"logits": 2e-5, "states": 2e-5, "losses": 1e-5, "table": 1e-6}
QAT = {"pr576": PR576_QAT, "pr1123": PR1123_QAT}
Z_LOSS = 1e-4
INDICATIVE = {
    "main_prep_autocast_cpu__losses": "bf16 autocast noise of the original's machine",
    "main_prep_bf16__losses": "bf16 noise of the original's machine",
}


def load_model(case: Case) -> GPT:
    """Return the case's model; a missing, unknown or misshapen tensor raises."""
    state = load_file(case.path("state_dict.safetensors"))
    return build(from_published_config(case.config), state)


def check(case: Case, report: Report) -> None:
    """Check ``state_dict.safetensors``, ``config.json`` and ``io.npz``."""
    check_published_tables(case, report)
    if "state_dict.safetensors" not in case:
        return
    model = load_model(case)
    held = sorted(load_file(case.path("state_dict.safetensors")))
    what = f"{case.label} state_dict.safetensors names of {len(held)} tensors"
    report.exact(what, sorted(expected_shapes(model.config)), held)
    _check_config(case, model.config, report)
    if "io.npz" not in case:
        return
    io = case.entries("io.npz")
    golden = Golden(case, model, io)
    for name in sorted(io):
        what = f"{case.label} io.npz {name}"
        if name in INDICATIVE:
            io.take(name)
            report.indicative(what, INDICATIVE[name])
        elif name in GIVEN:
            io.take(name)
        elif "weff__" in name or name.endswith("__train_qat_weight"):
            report.exact_arrays(what, golden.effective_weight(name), io.take(name))
        elif name.endswith("__eval_codes_i8"):
            _check_levels(golden, name, report)
        elif name in RESULTS:
            kind, compute = RESULTS[name]
            got, want = compute(golden).detach().numpy(), io.take(name)
            if kind == "exact":
                report.exact_arrays(what, got, want)
            else:
                report.close(what, got, want, tolerance(kind, want, case.system))


def tolerance(kind: str, want: NDArray[Any], system: str) -> float:
    """Return what the golden README allows, or a millionth (8 ulp) of large stored values."""
    wide = system in LOOSE and kind in {"logits", "states"}
    allowed = TOLERANCES[kind] * (10 if wide else 1)
    large = 0.0 if kind == "logits" else 1e-6 * float(np.abs(want).max(initial=0.0))
    return max(allowed, large)


def _check_config(case: Case, config: ModelConfig, report: Report) -> None:
    """Compare shapes and layer order with what the config says was derived."""
    shapes = case.config.get("state_dict") or case.config.get("state_dict_shapes")
    if shapes is not None:
        got = {name: list(shape) for name, shape in expected_shapes(config).items()}
        report.exact(f"{case.label} config.json tensor shapes", got, shapes)
    derived = case.config.get("derived", {})
    known = {
        "head_dim": config.head_dim,
        "kv_dim": config.kv_dim,
        "mlp_hidden": config.mlp_hidden,
        "hidden_dim": config.mlp_hidden,
        "num_skip_weights": config.num_skips,
        "num_encoder_layers": len(config.visits()[0]),
        "num_decoder_layers": len(config.visits()[1]),
        "encoder_indices": list(config.visits()[0]),
        "decoder_indices": list(config.visits()[1]),
    }
    both = sorted(known.keys() & derived.keys())
    if both:
        report.exact(
            f"{case.label} config.json {', '.join(both)}",
            [known[name] for name in both],
            [derived[name] for name in both],
        )


@dataclass
class Golden:
    """A model, the arrays beside it, and what the one makes of the other."""

    case: Case
    model: GPT
    io: Entries

    @cached_property
    def ids(self) -> Tensor:
        """Return the input, (B, T)."""
        return self.given("input_ids")

    @cached_property
    def hidden(self) -> Tensor:
        """Return the final hidden states."""
        with torch.no_grad():
            return self.model.hidden(self.ids)

    @cached_property
    def logits(self) -> Tensor:
        """Return the plain logits."""
        return self.model.logits(self.hidden)

    def given(self, name: str) -> Tensor:
        """Return an input array."""
        return torch.from_numpy(self.io.take(name))

    def losses(self, logits: Tensor, targets: str = "target_ids") -> Tensor:
        """Return the loss of every position."""
        return F.cross_entropy(logits.transpose(1, 2), self.given(targets), reduction="none")

    def at_temperature(self, temperature: float) -> Tensor:
        """Return logits at a temperature."""
        return self.model.logits(self.hidden, temperature)

    def simulated(self, *, on: bool) -> Tensor:
        """Return the training-time logits, quantization on or off, without a temperature."""
        rules = QAT[self.case.system] if on else ()
        model = self.changed(simulated=rules)
        with torch.no_grad():
            return model.logits(model.hidden(self.ids), 1.0)

    def changed(self, **fields: Any) -> GPT:
        """Return the same weights under a changed config."""
        return build(replace(self.model.config, **fields), self.model.state_dict())

    def prepared(self) -> GPT:
        """Return PR 2086's model as its ``main`` leaves it: every weight has been bf16 once."""
        state = {n: w.bfloat16().float() for n, w in self.model.state_dict().items()}
        rope = replace(self.model.config.rope, arithmetic="bf16")
        return build(replace(self.model.config, rope=rope), state)

    def z_loss(self, logits: Tensor) -> Tensor:
        """Return the training loss: mean cross-entropy and a little squared log-sum-exp."""
        return self.losses(logits).mean() + Z_LOSS * logits.logsumexp(-1).square().mean()

    def effective_weight(self, name: str) -> Tensor:
        """Return a weight on its grid: ``weff__MODULE.weight__...`` or ``MODULE__...``."""
        path = name.removeprefix("weff__").split("__")[0].removesuffix(".weight")
        training = name.endswith("__train_qat_weight")
        model = self.changed(simulated=QAT[self.case.system]) if training else self.model
        module = model.get_submodule(path)
        assert isinstance(module, Weighted)
        return module.effective_weight().detach()

    def run(self, model: GPT, name: str = "input_ids") -> Tensor:
        """Return a model's logits."""
        with torch.no_grad():
            logits: Tensor = model(self.given(name))
        return logits

    @cached_property
    def long_logits(self) -> Tensor:
        """Return the logits of an input beyond the NTK reference."""
        return self.run(self.model, "long__input_ids")

    def embedded(self) -> Tensor:
        """Return what enters the first layer."""
        with torch.no_grad():
            return self.model.embed(self.ids)

    def unlooped(self) -> GPT:
        """Return the model with its loop switched off."""
        if self.model.config.loop is None:
            return self.model
        return self.changed(loop=replace(self.model.config.loop, active=False))

    def rope(self, model: GPT, part: int, ids: str = "input_ids") -> Tensor:
        """Return cosines (0) or sines (1) of an input's positions."""
        return rope_tables(model.config.rope, self.given(ids))[part]

    def frequencies(self, model: GPT) -> Tensor:
        """Return the RoPE frequencies."""
        return rope_frequencies(model.config.rope, self.ids.shape[1])

    def packed_documents(self) -> Documents:
        """Return PR 1934's packed segments."""
        edges = self.given("varlen_cu_seqlens")
        starts = torch.zeros(self.ids.numel(), dtype=torch.bool)
        starts[edges[edges < len(starts)].long()] = True
        return Documents.from_starts(starts[None])

    @cached_property
    def packed_logits(self) -> Tensor:
        """Return the logits of all rows packed into one."""
        with torch.no_grad():
            logits: Tensor = self.model(self.ids.reshape(1, -1), self.packed_documents())
        return logits

    def packed_losses(self) -> Tensor:
        """Return the losses of all rows packed into one."""
        targets = self.given("target_ids").flatten()
        return F.cross_entropy(self.packed_logits[0], targets, reduction="none")

    def lanes(self) -> Tensor:
        """Return both lanes after each visit that has two."""
        pairs = [torch.stack(pair) for pair in self.outputs(LaneMix)]
        return torch.stack(pairs) if pairs else torch.empty(0)

    def outputs(self, kind: type[nn.Module]) -> list[Any]:
        """Return what every visit of a kind of module gave."""
        with recorded(self.model, kind) as outputs, torch.no_grad():
            self.model.hidden(self.ids)
        return outputs

    def value_embedding(self) -> Tensor:
        """Return the shared value embedding."""
        with torch.no_grad():
            values: Tensor = self.model.ve_shared(self.ids)
        return values

    def hashes(self) -> Tensor:
        """Return the bigram rows."""
        assert self.model.config.bigram is not None
        return bigram_rows(self.ids, self.model.config.bigram.rows)


@contextmanager
def recorded(model: nn.Module, kind: type[nn.Module]) -> Iterator[list[Any]]:
    """Collect the outputs of all modules of a kind, in the order they run."""
    outputs: list[Any] = []
    hooks = [
        module.register_forward_hook(lambda _module, _inputs, output: outputs.append(output))
        for module in model.modules()
        if isinstance(module, kind)
    ]
    yield outputs
    for hook in hooks:
        hook.remove()


def _check_levels(golden: Golden, name: str, report: Report) -> None:
    """Compare a five-level weight with its stored codes and scales."""
    scales = name.replace("codes_i8", "scale_f32")
    codes, scale = golden.given(name), golden.given(scales)
    weight = golden.effective_weight(name)
    what = f"{golden.case.label} io.npz"
    report.exact_arrays(f"{what} {name}", (weight / scale[:, None]).round(), codes)
    got = weight.abs().amax(1) / codes.abs().amax(1).clamp(min=1)
    report.close(f"{what} {scales}", got, scale, TOLERANCES["table"])


GIVEN = {
    "input_ids",
    "target_ids",
    "long__input_ids",
    "long__target_ids",
    "temperature",
    "varlen_cu_seqlens",
    "varlen_bos_pos",
    "varlen_max_seqlen",
    "varlen_max_doc_len",
}
"""Inputs, and what the packed segments were made from."""

RESULTS: dict[str, tuple[str, Callable[[Golden], Any]]] = {
    "logits": ("logits", lambda g: g.logits),
    "losses": ("losses", lambda g: g.losses(g.logits)),
    "per_token_loss": ("losses", lambda g: g.losses(g.logits)),
    "mean_loss_eval": ("losses", lambda g: g.losses(g.logits).mean()),
    "loss_mean": ("losses", lambda g: g.losses(g.logits).mean()),
    "loss_mean_train_path": ("losses", lambda g: g.losses(g.logits).mean()),
    "loss_mean_nonfused": ("losses", lambda g: g.losses(g.logits).mean()),
    "mean_loss_train_with_zloss": ("losses", lambda g: g.z_loss(g.logits)),
    "rope_inv_freq": ("table", lambda g: g.frequencies(g.model)),
    # A base that follows the window leaves the buffer alone.
    "rope_inv_freq_buffer": ("table", lambda g: rope_frequencies(g.model.config.rope, 1)),
    "rope_cos": ("table", lambda g: g.rope(g.model, 0)),
    "rope_sin": ("table", lambda g: g.rope(g.model, 1)),
    "bigram_hash_ids": ("exact", lambda g: g.hashes()),
    # PR 2086, prepared as its main() does.
    "main_prep__losses": ("losses", lambda g: g.losses(g.run(g.prepared()))),
    "main_prep__logits_last8": ("logits", lambda g: g.run(g.prepared())[:, -8:]),
    "main_prep__rope_inv_freq_as_f32": ("table", lambda g: g.frequencies(g.prepared())),
    "main_prep__rope_cos": ("table", lambda g: g.rope(g.prepared(), 0)),
    "main_prep__rope_sin": ("table", lambda g: g.rope(g.prepared(), 1)),
    # PR 576 and PR 1123: no temperature, and quantization in training.
    "forward_no_temp__losses": ("losses", lambda g: g.losses(g.at_temperature(1.0))),
    "forward_no_temp__mean_loss": ("losses", lambda g: g.losses(g.at_temperature(1.0)).mean()),
    "train_qat_on__losses": ("losses", lambda g: g.losses(g.simulated(on=True))),
    "train_qat_on__logits_last8": ("logits", lambda g: g.simulated(on=True)[:, -8:]),
    "train_qat_on__logits_no_temp_last8": ("logits", lambda g: g.simulated(on=True)[:, -8:]),
    "train_qat_on__mean_loss_zloss1e-4": ("losses", lambda g: g.z_loss(g.simulated(on=True))),
    "train_qat_off__losses": ("losses", lambda g: g.losses(g.simulated(on=False))),
    "train_qat_off__logits_last8": ("logits", lambda g: g.simulated(on=False)[:, -8:]),
    "long__losses": ("losses", lambda g: g.losses(g.long_logits, "long__target_ids")),
    "long__logits_last16": ("logits", lambda g: g.long_logits[:, -16:]),
    "long__rope_cos_last16": ("table", lambda g: g.rope(g.model, 0, "long__input_ids")[-16:]),
    "long__rope_sin_last16": ("table", lambda g: g.rope(g.model, 1, "long__input_ids")[-16:]),
    # PR 826, step by step.
    "logits_temperature": ("logits", lambda g: g.at_temperature(float(g.given("temperature")))),
    "stem": ("states", lambda g: g.embedded()),
    "value_embedding": ("states", lambda g: g.value_embedding()),
    "block_outputs": ("states", lambda g: torch.stack(g.outputs(Block))),
    "hidden_final": ("states", lambda g: g.hidden),
    # PR 1934: loops, lanes, packed rows.
    "x0": ("states", lambda g: g.embedded()),
    "logits_looping_inactive": ("logits", lambda g: g.run(g.unlooped())),
    "logits_varlen": ("logits", lambda g: g.packed_logits),
    "per_token_loss_varlen": ("losses", lambda g: g.packed_losses()),
    "sequential_block_outputs": ("states", lambda g: torch.stack(g.outputs(Block))),
    "parallel_lane_outputs": ("states", lambda g: g.lanes()),
}
"""Entry of ``io.npz``: which tolerance it has, and how it is computed."""
