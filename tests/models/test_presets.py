from dataclasses import replace

import pytest

from artpack.errors import UsageError
from artpack.models import parameter_count
from artpack.models.mechanisms import Loop
from artpack.models.presets import PRESETS, preset


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("pr2086", 52_828_668 - 16384 * 576),
        ("pr1934", 35_945_671),
        ("pr1123", 32_760_946),
        ("pr826", 27_255_900),
        ("pr576", 33_580_124),
        ("lm6m", 6_038_560),
    ],
)
def test_presets_have_the_published_number_of_parameters(name: str, published: int) -> None:
    assert parameter_count(preset(name)) == PRESETS[name].parameters == published


def test_the_quinary_part_of_pr2086_has_the_published_size() -> None:
    config = preset("pr2086")
    block = 1152 * 576 + 576 * 576 + 2 * 2304 * 576
    assert config.num_layers * block == 36_495_360


def test_a_faithful_preset_has_the_same_parameters() -> None:
    for name in PRESETS:
        assert parameter_count(preset(name, faithful=True)) == parameter_count(preset(name))


def test_faithful_presets_differ_in_the_defects_alone() -> None:
    meant, published = preset("pr1934"), preset("pr1934", faithful=True)
    assert published.rope.crosses_documents
    assert not meant.rope.crosses_documents
    assert replace(published, rope=meant.rope, smear=meant.smear) == meant
    assert preset("pr2086", faithful=True) == preset("pr2086")
    assert preset("pr1934").loop == Loop(3, 5, 3)


def test_an_unknown_preset_is_named() -> None:
    with pytest.raises(UsageError, match=r"no preset 'pr1943' \(did you mean 'pr1934'\?\)"):
        preset("pr1943")
