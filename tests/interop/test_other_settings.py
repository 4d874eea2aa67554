"""Models of PR 1123 and PR 576 with other settings, through recipe, artifact and container."""

from typing import Any

import numpy as np
import pytest
import torch

from artpack.artifact.reader import open_artifact
from artpack.calibration.collect import calibrate
from artpack.checkpoint import from_state_dict
from artpack.checkpoint.selection import select
from artpack.coding.profiles import FAST
from artpack.interop import from_artifact, read_container, write_container
from artpack.models import ModelConfig, build
from artpack.pack.compress import compress
from artpack.pack.prepare import prepare
from artpack.quantize import Fp16, RowAsymInt, RowInt
from artpack.recipes import load_recipe
from artpack.runners.batches import TokenBatches
from artpack.runners.gpt import GptRunner
from artpack.runners.places import places
from tests.models.conftest import random_weights
from tests.models.published.test_published import OFF, small_config

ONE_LAYER: dict[str, Any] = {"num_layers": 1, "ve_layers": "0,0,5", "xsa_last_n": 9}
EQUAL_WIDTHS: dict[str, Any] = {"bigram_dim": 48, "ve_dim": 24}
SMALL = [f"{rule}.min_weights=0" for rule in ("control_matrices", "control", "blocks", "tables")]
"""Lets PR 576 quantize what is not large."""


def pack(config: ModelConfig, recipe: str, overrides: list[str]) -> bytes:
    """Return an artifact of random weights, rounded with data."""
    weights = random_weights(config)
    windows = np.random.default_rng(0).integers(0, config.vocab_size, (8, 32))
    spec = load_recipe(recipe, overrides)
    model, batches = build(config, weights), TokenBatches(windows, 1024)
    data = calibrate(
        GptRunner(model), batches, places(model), weights_sha256="0" * 64, fisher=False
    )
    with from_state_dict(weights) as checkpoint:
        selection = select(checkpoint)
        prepared = prepare(checkpoint, selection, spec, data)
        packed = compress(checkpoint, selection, spec, prepared=prepared, profile=FAST)
    return packed.content()


@pytest.mark.parametrize("change", [{}, ONE_LAYER, EQUAL_WIDTHS, "off"])
@pytest.mark.parametrize(("system", "form"), [("pr1123", "rans"), ("pr576", "torch-zstd")])
def test_a_model_of_other_settings_comes_back(
    system: str, form: str, change: dict[str, Any] | str
) -> None:
    settings = OFF[system] if isinstance(change, str) else change
    config = small_config(system, **settings)
    overrides = SMALL if system == "pr576" else []
    with open_artifact(pack(config, system, overrides)) as artifact:
        mine = artifact.load(dtype=torch.float32)
        content = write_container(from_artifact(artifact, form), form)
        grids = {plan.name: plan.quantizer for plan in artifact.header.plan.tensors}
    theirs = {name: w.float() for name, w in read_container(content).weights().items()}
    if system == "pr576":  # whose own model holds tables and temperature as bf16
        ends = ("tok_emb.weight", "embed.weight", "inference_temp")
        narrow = {name for name in mine if name.endswith(ends)}
        mine = {n: w.bfloat16().float() if n in narrow else w for n, w in mine.items()}
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    build(config, theirs)
    if "lm_head.weight" in grids:
        head = grids["lm_head.weight"]
        assert isinstance(head, RowAsymInt | RowInt)
        assert head.bits == 8
    if system == "pr1123":
        assert all(
            grid == Fp16() for name, grid in grids.items() if name.startswith(("tok", "big", "ve_"))
        )
