import copy
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from artpack.models import GPT, Documents, build
from artpack.models.mechanisms import Smear

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
