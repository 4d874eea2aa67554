import json
from dataclasses import replace
from typing import Any

import pytest

from artpack.errors import UsageError
from artpack.models import ModelConfig
from artpack.models.mechanisms import (
    Bigram,
    Lanes,
    Loop,
    Ntk,
    Rope,
    Simulated,
    Skips,
    Smear,
    Softcap,
    ValueEmbedding,
    Yarn,
)
from artpack.models.presets import PRESETS
from artpack.models.simulate import FakeRowInt, Float8

PLAIN = ModelConfig(64, 32, 6, 4, 2, 128, Rope(10000.0, 8), Softcap("tanh", 30.0))


def test_a_field_that_older_files_lack_is_written_where_it_matters() -> None:
    assert "tied_head" not in PLAIN.to_json()
    changed = replace(PLAIN, tied_head=False, bigram=Bigram(9, 32, projected=False))
    stated = changed.to_json()
    assert stated["tied_head"] is False
    assert stated["bigram"] == {"rows": 9, "dim": 32, "projected": False}
    assert ModelConfig.from_json(json.loads(json.dumps(stated))) == changed


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_survives_json(name: str) -> None:
    config = PRESETS[name].config
    assert ModelConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_a_loop_repeats_its_layers_before_the_halves_are_cut() -> None:
    looped = replace(PLAIN, num_layers=11, loop=Loop(3, 5, 3))
    assert looped.visits() == ((0, 1, 2, 3, 4, 5, 3, 4), (5, 3, 4, 5, 6, 7, 8, 9, 10))
    assert looped.num_skips == 8


def test_an_inactive_loop_keeps_its_skip_rows() -> None:
    looped = replace(PLAIN, num_layers=11, loop=Loop(3, 5, 3, active=False))
    assert looped.visits() == ((0, 1, 2, 3, 4), (5, 6, 7, 8, 9, 10))
    assert looped.num_skips == 8


def test_an_odd_number_of_layers_has_the_longer_half_last() -> None:
    config = replace(PLAIN, num_layers=5)
    assert config.visits() == ((0, 1), (2, 3, 4))
    assert config.num_skips == 2


def test_without_skips_there_are_no_skip_rows() -> None:
    assert replace(PLAIN, skips=None).num_skips == 0


def test_the_first_pattern_that_matches_gives_the_grid() -> None:
    rules = (Simulated("*.mlp.up", Float8()), Simulated("blocks.*", FakeRowInt(4)))
    config = replace(PLAIN, simulated=rules)
    assert config.grid_of("blocks.0.mlp.up") == Float8()
    assert config.grid_of("blocks.0.attn.proj") == FakeRowInt(4)
    assert config.grid_of("tok_emb") is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vocab_size": 0}, "vocab_size must be in"),
        ({"num_layers": 1 << 40}, "num_layers must be in"),
        ({"num_heads": 5}, "num_heads 5 does not divide 32"),
        ({"num_kv_heads": 3}, "num_kv_heads 3 does not divide 4"),
        ({"rope": Rope(10000.0, 10)}, "rope.dims 10 exceeds the head width 8"),
        ({"smear": Smear("token", 33)}, "window_dims 33 exceeds 32"),
        ({"value_embedding": ValueEmbedding(4, (2,), projected=False)}, "dim 4 must be projected"),
        ({"bigram": Bigram(9, 16, projected=False)}, "dim 16 must be projected to 32"),
        ({"lanes": Lanes(5), "token_gates": True}, "a model without lanes"),
        ({"loop": Loop(4, 6, 2)}, "loop.last goes beyond"),
        ({"lanes": Lanes(7)}, "lanes.first_layer goes beyond"),
        ({"xsa_last_layers": -1}, "xsa_last_layers must be in 0.."),
        ({"mlp_slope": 1.5}, "mlp_slope must be in"),
    ],
)
def test_what_does_not_fit_together_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        replace(PLAIN, **change)


def test_mechanisms_refuse_settings_out_of_range() -> None:
    with pytest.raises(UsageError, match="dims must be even"):
        Rope(10000.0, 7)
    with pytest.raises(UsageError, match="no yarn"):
        Rope(10000.0, 8, ntk=Ntk(1024), yarn=Yarn(8, 16))
    with pytest.raises(UsageError, match="a channel gate"):
        Smear("channel", 12)
    with pytest.raises(UsageError, match="a token gate"):
        Smear("token")
    for layers in ((), (3, -1)):
        with pytest.raises(UsageError, match="layers must be one or more, from 0"):
            ValueEmbedding(4, layers)
    with pytest.raises(UsageError, match="limit must be above 0"):
        Softcap("tanh", 0.0)


def test_lanes_from_the_last_layer_on_are_not_opened() -> None:
    config = replace(PLAIN, lanes=Lanes(6), skips=Skips())
    assert not any(config.opens_lanes(layer) for layer in range(6))


def test_grids_by_the_ids_of_older_artifacts_are_read() -> None:
    for name in PRESETS:
        config = PRESETS[name].config
        older = json.dumps(config.to_json()).replace('"fake-row-', '"row-')
        assert ModelConfig.from_json(json.loads(older)) == config
    assert '"fake-row-' in json.dumps(PRESETS["pr1123"].config.to_json())
