"""PR 1934 with other settings, against a slow model written line by line from its description."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from artpack.calibration.collect import collect
from artpack.errors import UsageError
from artpack.models import GPT, Documents, build, expected_shapes
from artpack.models.mechanisms import HeadGate, Ntk, Rope
from artpack.models.published import from_published_config
from artpack.models.recognize import recognize
from artpack.models.rope import rope_frequencies
from artpack.runners.batches import TokenBatches
from artpack.runners.gpt import GptRunner
from artpack.runners.places import places

SETTINGS: dict[str, Any] = {
    "vocab_size": 41,
    "num_layers": 5,
    "model_dim": 24,
    "num_heads": 4,
    "num_kv_heads": 2,
    "mlp_mult": 1.3,
    "tie_embeddings": True,
    "logit_softcap": 20.0,
    "rope_base": 10000.0,
    "rope_dims": 4,
    "rope_yarn": False,
    "train_seq_len": 8,
    "ln_scale": True,
    "xsa_last_n": 5,
    "skip_gates_enabled": True,
    "num_loops": 2,
    "loop_start": 1,
    "loop_end": 2,
    "parallel_start_layer": 3,
    "parallel_final_lane": "mean",
    "smear_gate_enabled": True,
    "gate_window": 6,
    "sparse_attn_gate_enabled": True,
    "sparse_attn_gate_scale": 1.0,
    "gated_attn_enabled": False,
    "attn_out_gate_enabled": False,
    "attn_out_gate_src": "proj",
}
IDS = torch.tensor([[1, 7, 19, 3, 40, 22, 5, 11, 2, 30, 30], [1, 9, 1, 4, 12, 33, 6, 1, 17, 25, 8]])
NO_GATE = {"sparse_attn_gate_enabled": False}


class Published:
    """
    The published forward pass, for one setting and one set of weights.

    Args:
        settings: Its hyperparameters.
        weights: Name to tensor, float64.
    """

    def __init__(self, settings: dict[str, Any], weights: dict[str, Tensor]) -> None:
        self.s, self.w = settings, weights
        self.layers, self.dim = settings["num_layers"], settings["model_dim"]
        self.heads, self.head_dim = settings["num_heads"], self.dim // settings["num_heads"]

    def logits(self, ids: Tensor, starts: list[int], row: int) -> Tensor:
        """Return the logits of one row, (T, vocabulary); segments begin at the starts."""
        self.starts, self.angles = starts, self.rope(len(ids), row)
        e = self.w["tok_emb.weight"][ids]
        if self.s["smear_gate_enabled"]:
            window = self.s["gate_window"]
            gate = torch.sigmoid(e[:, :window] @ self.w["smear_gate.weight"][0])
            e[1:] = e[1:] + self.w["smear_lambda"] * gate[1:, None] * e[:-1].clone()
        self.x0 = norm(e)
        z = norm(self.run(self.x0))
        table = "tok_emb.weight" if self.s["tie_embeddings"] else "lm_head.weight"
        cap = self.s["logit_softcap"]
        capped: Tensor = cap * torch.tanh(z @ self.w[table].T / cap)
        return capped

    def order(self) -> list[int]:
        """Return the visits of all layers."""
        first, last, loops = (self.s[n] for n in ("loop_start", "loop_end", "num_loops"))
        if loops <= 0:
            return list(range(self.layers))
        middle = list(range(first, last + 1)) * (loops + 1)
        return [*range(first), *middle, *range(last + 1, self.layers)]

    def run(self, x: Tensor) -> Tensor:
        """Return what leaves the layers."""
        order, start = self.order(), self.s["parallel_start_layer"]
        half = len(order) // 2
        pushed, lanes = [], None
        for layer in order[:half]:
            x = self.block(layer, x)
            pushed.append(x)
        for number, layer in enumerate(order[half:]):
            in_lanes = 0 < start <= layer
            if in_lanes and lanes is None:
                lanes = [x, x]
            target = lanes[0] if in_lanes and lanes else x
            if number < half:
                target = self.skip(number, target, pushed.pop())
            if in_lanes and lanes:
                lanes = self.two_lanes(layer, target, lanes[1])
            else:
                x = self.block(layer, target)
        if lanes is None:
            return x
        final = {"mlp": lanes[1], "attn": lanes[0]}
        return final.get(self.s["parallel_final_lane"], (lanes[0] + lanes[1]) / 2)

    def skip(self, number: int, x: Tensor, pushed: Tensor) -> Tensor:
        """Return the stream with an earlier one joined."""
        weighted = self.w["skip_weights"][number] * pushed
        if not self.s["skip_gates_enabled"]:
            return x + weighted
        return weighted + torch.sigmoid(self.w["skip_gates"][number]) * (x - weighted)

    def block(self, i: int, x: Tensor) -> Tensor:
        """Return one layer's output."""
        mix = self.w[f"blocks.{i}.resid_mix"]
        x = mix[0] * x + mix[1] * self.x0
        x = x + self.w[f"blocks.{i}.attn_scale"] * self.attention(i, self.normed(i, x))
        return x + self.w[f"blocks.{i}.mlp_scale"] * self.mlp(i, self.normed(i, x))

    def two_lanes(self, i: int, lane0: Tensor, lane1: Tensor) -> list[Tensor]:
        """Return both lanes after a layer."""
        mix = self.w[f"blocks.{i}.resid_mix"]
        a = self.attention(i, self.normed(i, mix[0] * lane0 + mix[1] * self.x0))
        a = self.w[f"blocks.{i}.attn_scale"] * a
        m = self.w[f"blocks.{i}.mlp_scale"] * self.mlp(i, self.normed(i, lane1))
        r, p = self.w["parallel_resid_lambdas"][i], self.w["parallel_post_lambdas"][i]
        return [r[lane] * (lane0, lane1)[lane] + p[0, lane] * a + p[1, lane] * m for lane in (0, 1)]

    def normed(self, i: int, x: Tensor) -> Tensor:
        """Return what a layer's attention or MLP reads."""
        return norm(x) / math.sqrt(i + 1) if self.s["ln_scale"] else norm(x)

    def mlp(self, i: int, n: Tensor) -> Tensor:
        """Return the MLP's output."""
        u = n @ self.w["mlp_up_bank"][i].T
        return torch.where(u > 0, u, 0.5 * u) ** 2 @ self.w["mlp_down_bank"][i].T

    def attention(self, i: int, n: Tensor) -> Tensor:
        """Return the attention's output."""
        raw = n @ self.w["qo_bank"][i].T
        k = (n @ self.w["kv_bank"][i].T).view(len(n), -1, self.head_dim)
        v = (n @ self.w["kv_bank"][self.layers + i].T).view(len(n), -1, self.head_dim)
        q = norm(raw.view(len(n), self.heads, self.head_dim))
        q = self.turned(q) * self.w[f"blocks.{i}.attn.q_gain"][:, None]
        k = self.turned(norm(k))
        y = torch.stack([self.head(i, h, q, k, v) for h in range(self.heads)], dim=1)
        y = y * self.gate(i, n, raw)[..., None]
        return y.flatten(1) @ self.w["qo_bank"][self.layers + i].T

    def head(self, i: int, h: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return one head's output, each segment by itself."""
        shared = h // (self.heads // self.s["num_kv_heads"])
        scores = q[:, h] @ k[:, shared].T / math.sqrt(self.head_dim)
        segment = (torch.arange(len(q))[:, None] >= torch.tensor(self.starts)).sum(1)
        seen = (segment[:, None] == segment) & torch.ones_like(scores, dtype=torch.bool).tril()
        y = torch.softmax(scores.masked_fill(~seen, -math.inf), dim=1) @ v[:, shared]
        if i < self.layers - self.s["xsa_last_n"]:
            return y
        own: Tensor = v[:, shared] / v[:, shared].norm(dim=1, keepdim=True)
        return y - (y * own).sum(1, keepdim=True) * own

    def gate(self, i: int, n: Tensor, raw: Tensor) -> Tensor:
        """Return what each head's output is multiplied with, (T, heads)."""
        window, name = self.s["gate_window"], f"blocks.{i}.attn.attn_gate_w"
        if self.s["sparse_attn_gate_enabled"]:
            read = n[:, :window] @ self.w[name].T
            return torch.sigmoid(self.s["sparse_attn_gate_scale"] * read)
        if self.s["gated_attn_enabled"]:
            return torch.sigmoid(n @ self.w[name].T)
        if self.s["attn_out_gate_enabled"]:
            source = raw if self.s["attn_out_gate_src"] == "q" else n
            matrix = self.w[f"blocks.{i}.attn.attn_gate_proj.weight"]
            return 2 * torch.sigmoid(source[:, :window] @ matrix.T)
        return torch.ones(len(n), self.heads, dtype=n.dtype)

    def rope(self, tokens: int, row: int) -> Tensor:
        """Return the angle of every position and pair."""
        dims, base = self.s["rope_dims"] or self.head_dim, self.s["rope_base"]
        if self.s["rope_yarn"] and row > self.s["train_seq_len"]:
            base *= (row / self.s["train_seq_len"]) ** (dims / (dims - 2))
        steps = torch.arange(0, dims, 2).double() / dims
        angles: Tensor = torch.arange(tokens)[:, None] * base**-steps
        return angles

    def turned(self, heads: Tensor) -> Tensor:
        """Return rotated heads."""
        half = self.angles.shape[1]
        cos, sin = self.angles.cos()[:, None], self.angles.sin()[:, None]
        a, b, rest = heads[..., :half], heads[..., half : 2 * half], heads[..., 2 * half :]
        return torch.cat([a * cos + b * sin, b * cos - a * sin, rest], dim=-1)


def norm(x: Tensor) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + 2.0**-23).sqrt()


def made(**changes: Any) -> tuple[GPT, Published]:
    """Return our model of a setting, and the slow one."""
    settings = {**SETTINGS, **changes}
    config = from_published_config({"script": "PR 1934", "hyperparameters": settings})
    torch.manual_seed(0)
    weights = {
        name: torch.randn(shape, dtype=torch.float64) * 0.4 + ("lambda" in name or "scale" in name)
        for name, shape in expected_shapes(config).items()
    }
    return build(config, weights, dtype=torch.float64), Published(settings, weights)


VARIANTS: list[dict[str, Any]] = [
    {},
    {"tie_embeddings": False},
    {"num_heads": 1, "num_kv_heads": 1},
    {"num_kv_heads": 4, "rope_dims": 0},
    {"rope_dims": 6, "rope_base": 100.0},
    {"ln_scale": False, "xsa_last_n": 0},
    {"xsa_last_n": 2},
    {"xsa_last_n": 99},
    {"skip_gates_enabled": False},
    {"num_loops": 0},
    {"num_loops": 0, "num_layers": 4, "parallel_start_layer": 1},
    {"num_loops": 1, "loop_start": 0, "loop_end": 4},
    {"num_loops": 3, "loop_start": 2, "loop_end": 2},
    {"num_layers": 1, "num_loops": 0},
    {"num_layers": 1, "num_loops": 2, "loop_start": 0, "loop_end": 0},
    {"num_layers": 2, "num_loops": 1, "loop_start": 0, "loop_end": 0},
    {"parallel_start_layer": 0},
    {"parallel_start_layer": -1},
    {"parallel_start_layer": 5},
    {"parallel_start_layer": 99},
    {"parallel_start_layer": 1},
    # The loop goes back from two lanes to a layer below their start.
    {"parallel_start_layer": 2},
    {"parallel_start_layer": 2, "num_loops": 3, "loop_start": 0, "loop_end": 3},
    {"parallel_start_layer": 4, "loop_start": 2, "loop_end": 4, "num_loops": 2},
    {"parallel_final_lane": "mlp"},
    {"parallel_final_lane": "attn"},
    {"parallel_final_lane": "neither"},
    {"smear_gate_enabled": False},
    {"gate_window": 1},
    {"gate_window": 24},
    {"sparse_attn_gate_scale": -2.5},
    {**NO_GATE},
    {**NO_GATE, "gated_attn_enabled": True},
    {**NO_GATE, "attn_out_gate_enabled": True},
    {**NO_GATE, "attn_out_gate_enabled": True, "attn_out_gate_src": "q"},
    {**NO_GATE, "attn_out_gate_enabled": True, "attn_out_gate_src": "other"},
    {"rope_yarn": True},
    {"rope_yarn": True, "train_seq_len": 11},
    {"mlp_mult": 0.99, "logit_softcap": 2.0},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_a_setting_computes_what_was_published(changes: dict[str, Any]) -> None:
    ours, published = made(**changes)
    want = torch.stack([published.logits(row, [0], IDS.shape[1]) for row in IDS])
    torch.testing.assert_close(ours(IDS), want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("changes", [{}, {"rope_yarn": True}, {"parallel_start_layer": 2}], ids=str)
def test_a_packed_row_computes_what_was_published(changes: dict[str, Any]) -> None:
    ours, published = made(**changes)
    starts = [0, 4, 11, 13, 18]
    flags = torch.zeros(1, IDS.numel(), dtype=torch.bool)
    flags[0, starts] = True
    want = published.logits(IDS.flatten(), starts, IDS.numel())
    got = ours(IDS.view(1, -1), Documents.from_starts(flags))[0]
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_skip_rows_are_those_of_the_loop_while_it_is_off() -> None:
    looped, published = made()
    config = looped.config
    assert config.loop is not None
    still = replace(config, loop=replace(config.loop, active=False))
    assert still.num_skips == config.num_skips == 4
    published.s = {**published.s, "num_loops": 0}
    want = published.logits(IDS[0], [0], 11)
    got = build(still, looped.state_dict(), dtype=None)(IDS[:1])[0]
    torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)


def test_the_longest_row_so_far_fixes_the_base() -> None:
    ours, published = made(rope_yarn=True)
    rows = [IDS[:1, :5], IDS[:1], IDS[:1, :5], IDS.view(1, -1), IDS[:1]]
    for row, longest in zip(rows, (5, 11, 11, 22, 22), strict=True):
        want = published.logits(row[0], [0], longest)
        torch.testing.assert_close(ours(row)[0], want, rtol=1e-5, atol=1e-5)
    ours.longest_tokens = 0
    want = published.logits(rows[0][0], [0], 5)
    torch.testing.assert_close(ours(rows[0])[0], want, rtol=1e-5, atol=1e-5)


def test_a_base_that_has_grown_is_not_rounded() -> None:
    rope = Rope(10000.0, 8, ntk=Ntk(64, grows=True), arithmetic="bf16_frequencies")
    exact = replace(rope, arithmetic="fp32")
    assert rope_frequencies(rope, 65).equal(rope_frequencies(exact, 65))
    assert not rope_frequencies(rope, 64).equal(rope_frequencies(exact, 64))


def names(**changes: Any) -> set[str]:
    return set(made(**changes)[0].state_dict())


def test_tensors_come_and_go_with_their_switches() -> None:
    usual = names()
    assert names(smear_gate_enabled=False) == usual - {"smear_gate.weight", "smear_lambda"}
    assert names(skip_gates_enabled=False) == usual - {"skip_gates"}
    assert names(parallel_start_layer=0) == usual
    assert names(tie_embeddings=False) == usual | {"lm_head.weight"}
    gates = {f"blocks.{layer}.attn.attn_gate_w" for layer in range(5)}
    assert names(**NO_GATE) == usual - gates
    assert names(**NO_GATE, gated_attn_enabled=True) == usual
    others = {f"blocks.{layer}.attn.attn_gate_proj.weight" for layer in range(5)}
    assert names(**NO_GATE, attn_out_gate_enabled=True) == usual - gates | others


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"gated_attn_enabled": True}, "only one gate can be on"),
        ({"num_heads": 5}, "num_heads 5 does not divide 24"),
        ({"num_kv_heads": 3}, "num_kv_heads 3 does not divide 4"),
        ({"num_heads": 8, "rope_dims": 0}, "dims must be even"),
        ({"rope_dims": 8}, "exceeds the head width"),
        ({"logit_softcap": 0.0}, "limit must be above 0"),
        ({"attn_out_gate_src": 3}, "attn_out_gate_src must be"),
        ({"gate_window": 25}, "window_dims 25 exceeds 24"),
        ({"loop_end": 5}, "loop.last goes beyond"),
    ],
)
def test_settings_that_nothing_can_run_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        made(**changes)


@pytest.mark.parametrize(
    ("changes", "gate"),
    [
        ({"gated_attn_enabled": True}, HeadGate(24)),
        ({"attn_out_gate_enabled": True}, HeadGate(6, kind="gain")),
    ],
)
def test_a_gate_is_recognised_by_its_tensor(changes: dict[str, Any], gate: HeadGate) -> None:
    config = made(**NO_GATE, **changes)[0].config
    assert config.head_gate == gate
    shapes = expected_shapes(config)
    asked = (
        *("rope", "softcap", "lanes", "loop", "smear", "mlp_slope", "layer_scale", "simulated"),
        *("xsa_last_layers", "norm_before_projections", "norm_epsilon", "block_norm_epsilon"),
    )
    told = config.to_json()
    with pytest.raises(UsageError, match="head_gate"):
        recognize(shapes, {name: told[name] for name in asked})
    full = {name: told[name] for name in (*asked, "head_gate")}
    assert recognize(shapes, full) == config


def test_a_calibration_sees_every_map_of_such_a_model() -> None:
    model = made(**NO_GATE, attn_out_gate_enabled=True, tie_embeddings=False)[0]
    batches = TokenBatches(IDS.numpy(), 1024)
    moments = collect(GptRunner(model.float()), batches, places(model), fisher=False)
    for name in ("lm_head.weight", "blocks.0.attn.attn_gate_proj.weight"):
        assert moments.hessians[name].diagonal().min() > 0
