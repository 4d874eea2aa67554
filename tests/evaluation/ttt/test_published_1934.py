"""PR 1934's phased evaluation against a slow loop written from its description, on torch.optim."""

import copy
import math
from collections.abc import Mapping
from random import Random
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.adaptation import adapt
from artpack.evaluation.ttt.load import load_recipe
from artpack.models import GPT, Documents, build, expected_shapes
from artpack.models.adapters import Site, site_shape
from artpack.models.published import from_published_config
from tests.golden.checks.ttt import changes_pr1934
from tests.models.published.test_variants_1934 import SETTINGS

ARGS: dict[str, Any] = {
    "ttt_chunk_size": 8,
    "ttt_eval_seq_len": 20,
    "ttt_batch_size": 3,
    "ttt_lora_rank": 2,
    "ttt_lora_lr": 0.01,
    "ttt_grad_steps": 1,
    "ttt_weight_decay": 1.0,
    "ttt_beta1": 0.0,
    "ttt_beta2": 0.999,
    "ttt_optimizer": "adam",
    "ttt_k_lora": True,
    "ttt_mlp_lora": True,
    "ttt_o_lora": True,
    "phased_ttt_prefix_docs": 7,
    "phased_ttt_num_phases": 3,
    "global_ttt_lr": 0.05,
    "global_ttt_momentum": 0.9,
    "global_ttt_epochs": 1,
    "global_ttt_chunk_tokens": 32,
    "global_ttt_batch_seqs": 2,
    "global_ttt_warmup_start_lr": 0.01,
    "global_ttt_warmup_chunks": 2,
    "global_ttt_grad_clip": 1.0,
    "global_ttt_respect_doc_boundaries": True,
    "eval_seq_len": 16,
    "val_doc_fraction": 1.0,
    "ttt_eval_batches": "",
    "TTT_LORA_ALPHA": 3.0,
    "TTT_WARM_START_A": True,
    "adamw_eps": 1e-10,
}
SEED = 1337
LENGTHS = (30, 11, 45, 8, 21, 3, 9, 17, 13, 26, 5)


def model_of(**changes: Any) -> GPT:
    settings = {**SETTINGS, "num_layers": 3, "parallel_start_layer": 2, "num_loops": 1, **changes}
    config = from_published_config({"script": "PR 1934", "hyperparameters": settings})
    torch.manual_seed(0)
    weights = {
        name: torch.randn(shape) * 0.4 + ("lambda" in name or "scale" in name)
        for name, shape in expected_shapes(config).items()
    }
    return build(config, weights)


def stream_of(*, head: int = 0) -> Stream:
    draw = np.random.default_rng(2)
    ids = draw.integers(2, 41, head).tolist()
    for length in LENGTHS:
        ids += [1, *draw.integers(2, 41, length - 1).tolist()]
    return Stream(np.array(ids, np.uint16), np.ones(len(ids), np.int64))


class Draws:
    """Input matrices, another set at each call, the same for the same number of calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(
        self, documents: int, shapes: Mapping[str, tuple[int, int]]
    ) -> Mapping[str, Tensor]:
        self.calls += 1
        draw = torch.Generator().manual_seed(self.calls)
        return {
            name: torch.randn(documents, *shapes[name], generator=draw) / shapes[name][1] ** 0.5
            for name in sorted(shapes)
        }


class Adapter(nn.Module):
    """One set of matrices for each document of a batch, and what they add."""

    def __init__(self, model: GPT, args: Mapping[str, Any], documents: int, draws: Draws) -> None:
        super().__init__()
        visits = sum(map(len, model.config.visits()))
        sites: list[Site] = ["q", "v"]
        sites += [s for s in ("k", "mlp", "o") if args[f"ttt_{s}_lora"]]
        shapes = {f"{s}.{v}": site_shape(model.config, s) for s in sites for v in range(visits)}
        shapes["head"] = site_shape(model.config, "head")
        self.rank, self.args = args["ttt_lora_rank"], args
        inputs = {name: (self.rank, width) for name, (_, width) in shapes.items()}
        drawn = draws(documents, inputs)
        self.names = {name: f"p{place}" for place, name in enumerate(shapes)}
        self.a = nn.ParameterDict({self.names[n]: drawn[n].clone() for n in shapes})
        zeros = {n: torch.zeros(documents, out, self.rank) for n, (out, _) in shapes.items()}
        self.b = nn.ParameterDict({self.names[n]: zeros[n] for n in shapes})

    def optimizer(self) -> torch.optim.Optimizer:
        """Return a fresh optimizer of all matrices."""
        args, decay = self.args, self.args["ttt_weight_decay"]
        if args["ttt_optimizer"] == "sgd":
            momentum = args["ttt_beta1"]
            return torch.optim.SGD(
                self.parameters(), lr=args["ttt_lora_lr"], momentum=momentum, weight_decay=decay
            )
        betas = (args["ttt_beta1"], args["ttt_beta2"])
        return torch.optim.AdamW(
            self.parameters(), args["ttt_lora_lr"], betas, args["adamw_eps"], decay
        )

    def product(self, name: str, x: Tensor) -> Tensor | None:
        """Return what is added where ``x`` is read."""
        if name not in self.names:
            return None
        key = self.names[name]
        scale = self.args["TTT_LORA_ALPHA"] / self.rank
        added: Tensor = scale * torch.einsum("btr,bor->bto", x @ self.a[key].mT, self.b[key])
        return added

    def in_layer(self, site: Site, visit: int, normed: Tensor, stream: Tensor) -> Tensor | None:  # noqa: ARG002
        return self.product(f"{site}.{visit}", normed)

    def on_head(self, hidden: Tensor) -> Tensor | None:
        return self.product("head", hidden)


class Published:
    """The published evaluation on one process."""

    def __init__(self, model: GPT, ids: Tensor, args: dict[str, Any]) -> None:
        self.model, self.ids, self.args, self.draws = copy.deepcopy(model), ids, args, Draws()
        self.nats: dict[int, float] = {}
        self.documents = self.find_documents()

    def find_documents(self) -> list[tuple[int, int]]:
        """Return start and length, the next BOS counted, of the documents to be scored."""
        begins = (self.ids == 1).nonzero().flatten().tolist()
        ends = [begin + 1 for begin in begins[1:]] + [len(self.ids)]
        found = [(begin, end - begin) for begin, end in zip(begins, ends, strict=True)]
        share = self.args["val_doc_fraction"]
        if share == 1:
            return found
        count = max(1, round(len(found) * share))
        return [found[i] for i in sorted(Random(SEED).sample(range(len(found)), count))]

    def run(self) -> None:
        """Score and learn."""
        size, args = self.args["ttt_batch_size"], self.args
        order = sorted(self.documents, key=lambda document: document[1])
        queue = [(n, order[n : n + size]) for n in range(0, len(order), size)]
        if not args["ttt_eval_batches"]:
            queue.reverse()
        prefix = min(args["phased_ttt_prefix_docs"], len(order))
        phases = max(args["phased_ttt_num_phases"], 1)
        borders = [prefix * (i + 1) // phases for i in range(phases)] if prefix else []
        reused = Adapter(self.model, args, size, self.draws) if args["TTT_WARM_START_A"] else None
        scored: list[int] = []
        for first, batch in queue:
            adapter = reused
            if adapter is None or len(batch) != size:
                adapter = Adapter(self.model, args, len(batch), self.draws)
            for b in adapter.b.values():
                nn.init.zeros_(b)
            self.run_batch(batch, adapter)
            scored += range(first, first + len(batch))
            if borders and len(scored) >= borders[0]:
                places = sorted(scored)[: borders.pop(0)]
                self.learn([order[place] for place in places])
                if reused is not None:
                    reused = Adapter(self.model, args, size, self.draws)

    def run_batch(self, batch: list[tuple[int, int]], adapter: Adapter) -> None:
        """Score the documents of a batch chunk by chunk."""
        chunk, window = self.args["ttt_chunk_size"], self.args["ttt_eval_seq_len"]
        counts = [math.ceil((length - 1) / chunk) for _, length in batch]
        optimizer = adapter.optimizer()
        self.model.requires_grad_(requires_grad=False)
        for c in range(max(counts)):
            rows = torch.zeros(len(batch), min((c + 1) * chunk, window), dtype=torch.long)
            spans = {}
            for row, (start, length) in enumerate(batch):
                if c < counts[row]:
                    end = length - 1 if c == counts[row] - 1 else (c + 1) * chunk
                    low = max(0, end - window)
                    rows[row, : end - low] = self.ids[start + low : start + end]
                    spans[row] = (start, low, end)
            losses = self.losses(adapter, rows, spans, c)
            for row, (start, _, _) in spans.items():
                for place, nats in enumerate(losses[row].tolist()):
                    self.nats[start + c * chunk + place] = nats
            later = [row for row in spans if counts[row] - 1 > c]
            for step in range(self.args["ttt_grad_steps"] if later else 0):
                if step:
                    losses = self.losses(adapter, rows, spans, c)
                optimizer.zero_grad()
                total = torch.stack([losses[row].mean() for row in later]).sum()
                total.backward()  # type: ignore[no-untyped-call]
                optimizer.step()

    def losses(
        self, adapter: Adapter, rows: Tensor, spans: dict[int, tuple[int, int, int]], c: int
    ) -> dict[int, Tensor]:
        """Return the losses of a chunk of each document."""
        raw = self.model.raw_logits(self.model.hidden(rows, adapters=adapter), adapter)
        logits, first = self.model.cooled(raw, None), c * self.args["ttt_chunk_size"]
        return {
            row: F.cross_entropy(
                logits[row, first - low : end - low],
                self.ids[start + first + 1 : start + end + 1],
                reduction="none",
            )
            for row, (start, low, end) in spans.items()
        }

    def learn(self, documents: list[tuple[int, int]]) -> None:
        """Let all weights learn from some documents."""
        args, window = self.args, self.args["eval_seq_len"]
        empty = self.ids[:0]
        tokens = torch.cat([empty, *(self.ids[start : start + n] for start, n in documents)])
        chunk, total = args["global_ttt_chunk_tokens"], len(tokens) - 1
        chunks = math.ceil(total / chunk)
        self.model.requires_grad_(requires_grad=True)
        parameters = list(self.model.parameters())
        optimizer = torch.optim.SGD(parameters, 1.0, momentum=args["global_ttt_momentum"])
        for c in range(chunks - 1):
            optimizer.param_groups[0]["lr"] = self.rate(c, chunks)
            sequences = chunk // window
            for _ in range(max(args["global_ttt_epochs"], 0)):
                for low in range(0, sequences, args["global_ttt_batch_seqs"]):
                    high = min(low + args["global_ttt_batch_seqs"], sequences)
                    part = tokens[c * chunk + low * window : c * chunk + high * window + 1]
                    optimizer.zero_grad()
                    self.loss(part, window).backward()  # type: ignore[no-untyped-call]
                    if args["global_ttt_grad_clip"] > 0:
                        nn.utils.clip_grad_norm_(parameters, args["global_ttt_grad_clip"])
                    optimizer.step()

    def loss(self, part: Tensor, window: int) -> Tensor:
        """Return the mean loss of a row."""
        x, y = part[:-1], part[1:]
        if not self.args["global_ttt_respect_doc_boundaries"]:
            return F.cross_entropy(self.model(x.view(-1, window)).flatten(0, 1), y)
        starts, since = torch.zeros(1, len(x), dtype=torch.bool), 0
        for place, token in enumerate(x.tolist()):
            since = 0 if token == 1 or place == 0 else since + 1
            starts[0, place] = since % window == 0
        return F.cross_entropy(self.model(x[None], Documents.from_starts(starts))[0], y)

    def rate(self, c: int, chunks: int) -> float:
        """Return the learning rate of a chunk."""
        lr, start = self.args["global_ttt_lr"], self.args["global_ttt_warmup_start_lr"]
        warm = max(0, min(self.args["global_ttt_warmup_chunks"], chunks - 1))
        if c < warm:
            return float(start + (lr - start) * c / max(warm - 1, 1))
        fall = math.cos(math.pi * (c - warm) / max(chunks - 1 - warm, 1))
        return float(lr * 0.5 * (1 + fall))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"phased_ttt_prefix_docs": 0, "ttt_k_lora": False, "ttt_grad_steps": 2},
        {"ttt_optimizer": "sgd", "ttt_beta1": 0.5, "ttt_weight_decay": 0.1, "ttt_o_lora": False},
        {"ttt_optimizer": "other", "ttt_beta1": 0.5, "ttt_mlp_lora": False, "TTT_LORA_ALPHA": 5},
        {"TTT_WARM_START_A": False, "ttt_batch_size": 4},
        {"ttt_eval_batches": "3,4", "val_doc_fraction": 0.7, "phased_ttt_prefix_docs": 99},
        {"phased_ttt_prefix_docs": 2, "phased_ttt_num_phases": 5, "ttt_batch_size": 2},
        {"global_ttt_respect_doc_boundaries": False, "global_ttt_grad_clip": 0.0},
        {"global_ttt_warmup_chunks": 1, "global_ttt_epochs": 2, "phased_ttt_num_phases": 0},
        {"global_ttt_warmup_chunks": 99, "global_ttt_batch_seqs": 3, "eval_seq_len": 8},
        {"global_ttt_chunk_tokens": 15, "ttt_grad_steps": 0, "ttt_eval_seq_len": 8},
    ],
    ids=str,
)
def test_a_setting_scores_as_the_published_loop(changes: dict[str, Any]) -> None:
    args = {**ARGS, **changes}
    model, stream = model_of(), stream_of()
    check(model, stream, args)


def test_tokens_before_the_first_bos_are_left_out() -> None:
    check(model_of(), stream_of(head=4), {**ARGS, "phased_ttt_prefix_docs": 3})


@pytest.mark.parametrize("changes", [{"tie_embeddings": False}, {"rope_yarn": True}], ids=str)
def test_other_models_are_scored_as_the_published_loop(changes: dict[str, Any]) -> None:
    check(model_of(**changes), stream_of(), ARGS)


def check(model: GPT, stream: Stream, args: dict[str, Any]) -> None:
    """Compare every target's loss, and what is left of the weights."""
    want = Published(model, torch.from_numpy(stream.ids.astype(np.int64)), args)
    want.run()
    sets = [f"{key}={value}" for key, value in changes_pr1934(args, {"seed": SEED}).items()]
    recipe = load_recipe("pr1934", sets, faithful=True).recipe
    answers = torch.from_numpy(stream.ids[1:].astype(np.int64))
    seen: dict[int, float] = {}

    def observe(targets: Any, logits: Tensor) -> None:
        nats = F.cross_entropy(logits, answers[targets], reduction="none")
        seen.update(zip(targets.tolist(), nats.tolist(), strict=True))

    adapted = adapt(model, stream, recipe, observer=observe, draw=Draws())
    assert seen.keys() == want.nats.keys()
    for target, nats in want.nats.items():
        assert seen[target] == pytest.approx(nats, abs=2e-3), target
    assert sum(seen.values()) == pytest.approx(sum(want.nats.values()), rel=1e-5)
    after = dict(adapted.model.named_parameters())
    for name, parameter in want.model.named_parameters():
        torch.testing.assert_close(after[name], parameter.detach(), rtol=1e-3, atol=1e-4)
