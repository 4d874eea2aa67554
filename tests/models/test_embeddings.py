import numpy as np
import torch

from artpack.models.document_mask import Documents
from artpack.models.embeddings import (
    ChannelSmear,
    ScaledTable,
    bigram_rows,
    previous,
    token_smear,
)
from artpack.models.linear import Linear

TWO = Documents.from_starts(torch.tensor([[True, False, True, False]]))


def test_previous_is_zero_where_a_document_starts() -> None:
    ids = torch.tensor([[5, 6, 7, 8]])
    assert previous(ids).tolist() == [[0, 5, 6, 7]]
    assert previous(ids, TWO).tolist() == [[0, 5, 0, 7]]
    assert previous(ids.float().unsqueeze(-1), TWO).flatten().tolist() == [0, 5, 0, 7]


def test_bigrams_are_hashed_with_the_token_before() -> None:
    ids = torch.tensor([[900, 3, 900, 3]])
    hashes = [((36313 * now) ^ (27191 * before)) % 99 for before, now in ((900, 3), (3, 900))]
    assert bigram_rows(ids, 100).tolist() == [[99, hashes[0], hashes[1], hashes[0]]]
    assert bigram_rows(ids, 100, TWO).tolist() == [[99, hashes[0], 99, hashes[0]]]


def test_a_scaled_table_is_a_product_of_its_parts() -> None:
    table = ScaledTable(7, 3, 5)
    assert table.proj is not None
    torch.nn.init.normal_(table.embed.weight)
    torch.nn.init.normal_(table.proj.weight)
    torch.nn.init.constant_(table.scale, 0.3)
    expected = 0.3 * table.proj.weight @ table.embed.weight[4]
    assert torch.allclose(table(torch.tensor([[4]]))[0, 0], expected)


def test_a_table_as_wide_as_its_target_has_no_projection() -> None:
    table = ScaledTable(7, 5, None)
    torch.nn.init.normal_(table.embed.weight)
    torch.nn.init.constant_(table.scale, 0.3)
    assert sorted(dict(table.named_parameters())) == ["embed.weight", "scale"]
    assert torch.equal(table(torch.tensor([[4]]))[0, 0], table.embed.weight[4] * table.scale)


def test_hashes_wrap_around_as_int32_does() -> None:
    now, before = 65_000, 50_000
    wrapped = np.array([36313 * now, 27191 * before]).astype(np.int32)
    expected = int(wrapped[0] ^ wrapped[1]) % 2047
    assert (36313 * now ^ 27191 * before) % 2047 != expected
    assert bigram_rows(torch.tensor([[before, now]]), 2048)[0, 1] == expected


def test_the_channel_gate_shares_each_channel() -> None:
    smear = ChannelSmear(2)
    smear.gate.data = torch.tensor([0.0, 20.0])
    mixed = smear(torch.tensor([[[1.0, 1.0]]]), torch.tensor([[[3.0, 3.0]]]))
    assert torch.allclose(mixed, torch.tensor([[[2.0, 3.0]]]))


def test_the_token_gate_reads_the_first_channels_of_the_token_itself() -> None:
    gate = Linear(2, 1)
    gate.weight.data = torch.tensor([[1.0, -2.0]])
    x, before = torch.tensor([[[0.5, 1.0, 9.0]]]), torch.tensor([[[1.0, 2.0, 3.0]]])
    opened = 1 / (1 + torch.exp(torch.tensor(1.5)))
    smeared = token_smear(x, before, gate, torch.tensor([0.7]))
    assert torch.allclose(smeared, x + 0.7 * opened * before)
