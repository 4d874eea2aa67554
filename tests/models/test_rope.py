import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from artpack.models.document_mask import Documents
from artpack.models.mechanisms import Ntk, Rope, Yarn
from artpack.models.rope import rope_frequencies, rope_tables, rotate

PLAIN = Rope(10000.0, 8)


def test_frequencies_are_powers_of_the_base() -> None:
    expected = [10000.0 ** (-2 * j / 8) for j in range(4)]
    assert torch.allclose(rope_frequencies(PLAIN, 16), torch.tensor(expected), rtol=1e-6)


def test_published_bf16_frequencies_of_pr1934() -> None:
    rope = Rope(10000.0, 16, arithmetic="bf16_frequencies")
    assert rope_frequencies(rope, 1).tolist() == [
        1.0,
        0.31640625,
        0.10009765625,
        0.03173828125,
        0.010009765625,
        0.0031585693359375,
        0.00099945068359375,
        0.000316619873046875,
    ]


def test_published_bf16_frequencies_of_pr2086() -> None:
    rope = Rope(5000.0, 96, yarn=Yarn(1024, 2048), arithmetic="bf16_frequencies")
    picked = rope_frequencies(rope, 1)[[0, 1, 12, 24, 36, 47]]
    assert picked.tolist() == [
        1.0,
        0.8359375,
        0.119140625,
        0.0106201171875,
        0.001007080078125,
        0.00012111663818359375,
    ]


def test_yarn_slows_the_slowest_frequency_by_the_whole_stretch() -> None:
    plain = rope_frequencies(Rope(5000.0, 96), 1)
    bent = rope_frequencies(Rope(5000.0, 96, yarn=Yarn(512, 2048)), 1)
    ramp = [min(1.0, max(0.0, (2 * j / 96 - 0.25) / 0.75)) for j in range(48)]
    expected = plain / torch.tensor([1 + 3 * r for r in ramp])
    assert torch.allclose(bent, expected, rtol=1e-6)


@pytest.mark.parametrize(("window", "grown"), [(64, 1.0), (1024, 1.0), (2048, 2 ** (16 / 14))])
def test_the_ntk_base_grows_beyond_its_reference(window: int, grown: float) -> None:
    follows = Rope(10000.0, 16, ntk=Ntk(1024))
    expected = rope_frequencies(Rope(10000.0 * grown, 16), 1)
    assert torch.equal(rope_frequencies(follows, window), expected)


def test_a_fixed_ntk_window_does_not_follow_the_input() -> None:
    fixed = Rope(10000.0, 16, ntk=Ntk(1024, 2048))
    assert torch.equal(rope_frequencies(fixed, 64), rope_frequencies(fixed, 2048))


def test_rotation_turns_pairs_of_the_first_channels() -> None:
    heads = torch.randn(1, 5, 2, 10, generator=torch.Generator().manual_seed(0))
    cos, sin = rope_tables(PLAIN, torch.zeros(1, 5, dtype=torch.int64))
    turned = rotate(heads, cos, sin)
    for t in range(5):
        for j in range(4):
            angle = t * 10000.0 ** (-2 * j / 8)
            a, b = heads[0, t, 1, j].item(), heads[0, t, 1, j + 4].item()
            expected = (
                a * math.cos(angle) + b * math.sin(angle),
                b * math.cos(angle) - a * math.sin(angle),
            )
            got = turned[0, t, 1, j].item(), turned[0, t, 1, j + 4].item()
            assert got == pytest.approx(expected, abs=1e-5)
    assert torch.equal(turned[..., 8:], heads[..., 8:])


def test_positions_restart_with_each_document_unless_told_otherwise() -> None:
    ids = torch.zeros(1, 5, dtype=torch.int64)
    documents = Documents.from_starts(torch.tensor([[True, False, False, True, False]]))
    whole, _ = rope_tables(PLAIN, ids)
    packed, _ = rope_tables(PLAIN, ids, documents)
    assert torch.equal(packed[0], whole[[0, 1, 2, 0, 1]])
    published, _ = rope_tables(replace(PLAIN, crosses_documents=True), ids, documents)
    assert torch.equal(published, whole)


def test_tables_of_the_published_size_agree(cases: Path) -> None:
    golden = np.load(cases / "golden" / "pr2086" / "rope_tables_published_dims.npz")
    at = torch.from_numpy(golden["positions"])
    ids = torch.zeros(1, 1024, dtype=torch.int64)
    rope = Rope(5000.0, 96, yarn=Yarn(1024, 2048))
    cos, sin = rope_tables(rope, ids)
    assert np.array_equal(cos[at].numpy(), golden["fp32_cos"])
    assert np.array_equal(sin[at].numpy(), golden["fp32_sin"])
    cos, sin = rope_tables(replace(rope, arithmetic="bf16"), ids)
    assert np.array_equal(cos[at].numpy(), golden["eager_bf16_cos"])
    assert np.array_equal(sin[at].numpy(), golden["eager_bf16_sin"])
    rounded = rope_frequencies(replace(rope, arithmetic="bf16_frequencies"), 1024)
    assert np.array_equal(rounded.numpy(), golden["inv_freq_bf16_as_f32"])
