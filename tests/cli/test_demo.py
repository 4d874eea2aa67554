"""The demo's commands work together; here on a smaller model and less text than its own."""

import json
from pathlib import Path

import pytest
from artpack_cli.commands import demo
from safetensors.torch import save_file

from artpack.demo import CHECKPOINT, CONFIG, write_demo
from artpack.models import GPT, preset
from artpack.training.initialise import initialise
from artpack.training.scale import scale_model
from artpack.training.settings import Init

from .conftest import Invoke


def write_small(folder: Path) -> None:
    """Write the demo's texts, and a model of one layer."""
    write_demo(folder)
    config = scale_model(preset("lm6m"), vocab_size=1024, layers=1, width=16)
    model = GPT(config)
    initialise(model, [Init("", "normal", 0.1)], seed=0)
    weights = {name: w.half().contiguous() for name, w in model.state_dict().items()}
    save_file(weights, folder / CHECKPOINT)
    (folder / CONFIG).write_text(json.dumps(config.to_json()))


@pytest.fixture
def small_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the demo have little to do."""
    monkeypatch.setattr(demo, "write_demo", write_small)
    monkeypatch.setattr(demo, "RECIPES", ("ternary",))
    monkeypatch.setattr(demo, "FRONTIER", "ternary")
    monkeypatch.setattr(demo, "SCORED_TOKENS", 4096)
    monkeypatch.setattr(demo, "CALIBRATION_TOKENS", "1024")


@pytest.mark.usefixtures("small_demo")
def test_the_demo_ends_in_a_table(tmp_path: Path, invoke: Invoke) -> None:
    done = invoke("demo", "-o", tmp_path / "out")
    assert done.code == 0, done.err
    commands = [line.split()[2] for line in done.out.splitlines() if line.startswith("$ artpack")]
    taken = ["compress", "inspect", "verify", "unpack", "eval", "eval", "audit"]
    assert commands == ["eval", "eval", *taken, "calibrate", *taken]
    lines = done.out.splitlines()
    table = lines[next(i for i, line in enumerate(lines) if line.startswith("recipe")) :]
    assert [line.split()[0] for line in table[1:4]] == ["unpacked", "ternary", "ternary"]
    assert table[2].split()[-1] == "passed"


@pytest.mark.usefixtures("small_demo")
def test_its_numbers_are_there_for_programs(tmp_path: Path, invoke: Invoke) -> None:
    found = json.loads(invoke("demo", "-o", tmp_path / "out", "--json").out)
    unpacked, _, packed = found["rows"]
    assert packed["bytes"] == (tmp_path / "out" / "ternary.artpack").stat().st_size
    difference = packed["bits_per_byte"]["value"] - unpacked["bits_per_byte"]["value"]
    assert packed["increase"]["value"] == pytest.approx(difference)
    assert packed["learning"]["value"] != packed["bits_per_byte"]["value"]
    assert packed["checks"] > 0
