import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from artpack.models import GPT, Documents, build
from artpack.models.attention import Shared
from artpack.models.block import Block
from artpack.models.mechanisms import Bigram, Smear, ValueEmbedding
from artpack.models.rope import rope_tables
from tests.models.conftest import random_weights

MakeTiny = Callable[[str], GPT]

TOKENS = 24


def some_ids(rows: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 61, (rows, TOKENS), generator=generator)


@torch.no_grad()
def test_no_logit_depends_on_a_later_token(tiny: GPT) -> None:
    ids, changed = some_ids(), some_ids()
    changed[:, 15:] = some_ids(seed=1)[:, 15:]
    before, after = tiny(ids), tiny(changed)
    assert torch.allclose(before[:, :15], after[:, :15], atol=1e-12)
    assert not torch.allclose(before[:, 15:], after[:, 15:])


@torch.no_grad()
def test_packed_documents_score_as_if_alone(tiny: GPT) -> None:
    ids = some_ids(rows=1)
    cuts = [0, 1, 9, 16, TOKENS]
    starts = torch.zeros_like(ids, dtype=torch.bool)
    starts[0, cuts[:-1]] = True
    packed = tiny(ids, Documents.from_starts(starts))
    alone = [tiny(ids[:, a:b]) for a, b in pairwise(cuts)]
    assert torch.allclose(packed, torch.cat(alone, dim=1), atol=1e-12)


@torch.no_grad()
def test_the_published_smear_leaks_into_the_next_document(make_tiny: MakeTiny) -> None:
    tiny = make_tiny("pr1934")
    leaky = replace(tiny.config, smear=Smear("token", 6, crosses_documents=True))
    starts = torch.zeros(1, TOKENS, dtype=torch.bool)
    starts[0, 9] = True
    documents, ids = Documents.from_starts(starts), some_ids(rows=1)
    model = build(leaky, tiny.state_dict(), dtype=None)
    assert torch.allclose(model(ids, documents)[:, :9], tiny(ids, documents)[:, :9])
    assert not torch.allclose(model(ids, documents)[:, 9], tiny(ids, documents)[:, 9])


@torch.no_grad()
def test_logits_of_chosen_positions_are_those_of_all(tiny: GPT) -> None:
    ids = some_ids()
    hidden = tiny.hidden(ids)
    assert torch.allclose(tiny.logits(hidden[:, -3:]), tiny(ids)[:, -3:], atol=1e-12)


@torch.no_grad()
def test_bf16_autocast_stays_close_to_fp32(tiny: GPT) -> None:
    model, ids = copy.deepcopy(tiny).float(), some_ids()
    exact = model(ids).log_softmax(-1)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = model(ids).log_softmax(-1)
    assert rounded.dtype is torch.float32
    # bfloat16 keeps 8 bits; logits have a spread of about one.
    assert (exact - rounded).abs().mean() < 0.05


@torch.no_grad()
def test_a_copy_of_a_model_is_independent(tiny: GPT) -> None:
    ids, twin = some_ids(), copy.deepcopy(tiny)
    expected = tiny(ids)
    for parameter in tiny.parameters():
        parameter.zero_()
    assert torch.equal(twin(ids), expected)


def test_gradients_reach_every_parameter_that_is_used(tiny: GPT) -> None:
    tiny(some_ids()).square().mean().backward()
    unused = {name for name, p in tiny.named_parameters() if p.grad is None}
    # The grid's corrections have no gradient by design; the first layer has no earlier value.
    assert all(n.endswith("scale_correction") or n == "blocks.0.attn.vr_lambda" for n in unused)


@torch.no_grad()
def test_the_stored_temperature_divides_the_logits(make_tiny: MakeTiny) -> None:
    tiny = make_tiny("pr576")
    hidden = tiny.hidden(some_ids())
    tiny.inference_temp.fill_(0.5)
    assert torch.equal(tiny.logits(hidden), tiny.logits(hidden, 0.5))
    assert torch.equal(tiny.logits(hidden), tiny.logits(hidden, 1.0) / 0.5)


@torch.no_grad()
def test_a_model_is_one_graph(make_tiny: MakeTiny) -> None:
    tiny, ids = make_tiny("pr1934"), some_ids()
    starts = torch.zeros_like(ids, dtype=torch.bool)
    starts[0, [5, 9]] = True
    documents = Documents.from_starts(starts)
    graph = torch.compile(tiny, fullgraph=True, backend="eager")
    assert torch.equal(graph(ids, documents), tiny(ids, documents))


@pytest.mark.cuda
@torch.no_grad()
def test_cuda_gives_the_logits_of_the_cpu(tiny: GPT) -> None:
    ids = some_ids()
    expected = tiny(ids)
    assert torch.allclose(tiny.cuda()(ids.cuda()).cpu(), expected, atol=1e-9)


@pytest.mark.cuda
@torch.no_grad()
def test_a_compiled_model_gives_the_same_logits(tiny: GPT) -> None:
    model, ids = tiny.float().cuda(), some_ids().cuda()
    compiled = torch.compile(model)
    assert torch.allclose(compiled(ids), model(ids), atol=1e-3)


def changed(tiny: GPT, **fields: object) -> GPT:
    """Return a model with other mechanisms and random weights."""
    config = replace(tiny.config, **fields)  # type: ignore[arg-type]
    return build(config, random_weights(config), dtype=torch.float64)


def block_of(model: GPT, layer: int) -> Block:
    block = model.get_submodule(f"blocks.{layer}")
    assert isinstance(block, Block)
    return block


@torch.no_grad()
def test_of_two_entries_for_a_layer_the_first_counts(make_tiny: MakeTiny) -> None:
    model = changed(make_tiny("pr1123"), value_embedding=ValueEmbedding(10, (4, 1, 4, 9)))
    ids = some_ids()
    assert [tuple(scale.shape) for scale in model.ve_layer_scales] == [(1,)] * 4
    base, values = model.ve_shared(ids), model.values(ids)
    assert sorted(values) == [1, 4]
    assert torch.equal(values[4], base * model.ve_layer_scales[0])
    assert torch.equal(values[1], base * model.ve_layer_scales[1])


@torch.no_grad()
def test_value_embeddings_of_no_layer_change_nothing(make_tiny: MakeTiny) -> None:
    model = changed(make_tiny("pr1123"), value_embedding=ValueEmbedding(10, (5,)))
    before = model(some_ids())
    model.ve_shared.embed.weight.mul_(2)
    assert torch.equal(model(some_ids()), before)


@torch.no_grad()
def test_tables_as_wide_as_their_target_are_added_as_they_are(make_tiny: MakeTiny) -> None:
    model = changed(
        make_tiny("pr576"),
        bigram=Bigram(32, 48, projected=False),
        value_embedding=ValueEmbedding(24, (1,), projected=False),
    )
    assert not {"bigram.proj.weight", "ve_shared.proj.weight"} & set(model.state_dict())
    ids = some_ids()
    assert torch.equal(model.values(ids)[1], model.ve_shared(ids) * model.ve_layer_scales[0])
    assert torch.equal(model.ve_shared(ids), model.ve_shared.embed(ids) * model.ve_shared.scale)


@torch.no_grad()
def test_an_untied_head_reads_the_stream(make_tiny: MakeTiny) -> None:
    for name in ("pr576", "pr2086"):  # the second has a narrow table and projections
        model = changed(make_tiny(name), tied_head=False)
        hidden = model.hidden(some_ids())
        expected = hidden @ model.lm_head.weight.T
        if model.config.vocab_bias:
            expected = expected + model.vocab_bias
        assert torch.allclose(model.raw_logits(hidden), expected, atol=1e-12)


def test_token_gates_mix_a_blocks_output_with_its_input(make_tiny: MakeTiny) -> None:
    model = changed(make_tiny("pr576"), token_gates=True)
    plain = build(
        replace(model.config, token_gates=False),
        {n: w for n, w in model.state_dict().items() if "dtg_gate" not in n},
        dtype=None,
    )
    x = torch.randn(1, 3, 48, dtype=torch.float64, requires_grad=True)
    cos, sin = rope_tables(model.config.rope, torch.zeros(1, 3, dtype=torch.int64))
    shared = Shared(x.detach(), cos.double(), sin.double(), None, {})
    gated, free = block_of(model, 1), block_of(plain, 1)
    assert gated.dtg_gate is not None
    mixed = gated.resid_mix[0] * x + gated.resid_mix[1] * x.detach()
    weight, bias = gated.dtg_gate.weight, gated.dtg_gate.bias
    share = (mixed.detach() @ weight[0] + bias).sigmoid()[..., None]
    expected = mixed + share * (free(x, shared, {}) - mixed)
    got = gated(x, shared, {})
    assert torch.allclose(got, expected, atol=1e-12)
    # The gate's own input has no gradient: what comes back is that of the mix alone.
    given = torch.autograd.grad(got.sum(), x, retain_graph=True)[0]
    assert torch.allclose(given, torch.autograd.grad(expected.sum(), x)[0], atol=1e-12)


@torch.no_grad()
def test_one_layer_has_no_skip_and_mixes_no_values(make_tiny: MakeTiny) -> None:
    model = changed(make_tiny("pr1123"), num_layers=1, value_embedding=None)
    assert tuple(model.skip_weights.shape) == (0, 48)
    before = model(some_ids())
    block_of(model, 0).attn.vr_lambda.zero_()
    assert torch.equal(model(some_ids()), before)


@torch.no_grad()
def test_more_exclusive_layers_than_there_are_means_all(make_tiny: MakeTiny) -> None:
    tiny = make_tiny("pr576")
    all_of_them = build(
        replace(tiny.config, xsa_last_layers=5), tiny.state_dict(), dtype=torch.float64
    )
    more = build(replace(tiny.config, xsa_last_layers=99), tiny.state_dict(), dtype=torch.float64)
    assert torch.equal(more(some_ids()), all_of_them(some_ids()))
