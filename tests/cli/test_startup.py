"""What the command line imports before it is needed, and what it spells out because of that."""

import inspect
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
import torch
from artpack_cli.commands import export
from artpack_cli.main import COMMANDS
from artpack_cli.main import artpack as group
from artpack_cli.options import scoring, ttt

import artpack
from artpack.api.audit import FEWEST_TOKENS
from artpack.api.files import DTYPES
from artpack.coding.profiles import PROFILES
from artpack.evaluation.ngram.mixing import MIXERS
from artpack.evaluation.ttt.load import DEFAULT_RECIPE as DEFAULT_TTT
from artpack.evaluation.ttt.load import recipe_names as ttt_names
from artpack.evaluation.windows.placements import PLACEMENTS
from artpack.interop import FORMATS
from artpack.recipes import DEFAULT_RECIPE, FRONTIER_RECIPE
from artpack.runners.settings import REFERENCE
from artpack.training.recipe import training_names

SLOW = {"torch", "numba", "numpy", "matplotlib", "sentencepiece", "transformers", "zpaq", "rich"}
JOBS = {
    "audit": (artpack.audit, artpack.WindowOptions, artpack.Sample, artpack.Settings),
    "calibrate": (artpack.calibrate,),
    "compress": (artpack.compress,),
    "eval": (artpack.evaluate, artpack.WindowOptions, artpack.Settings),
    "export": (artpack.export_container,),
    "finetune": (artpack.finetune,),
    "import": (artpack.import_container,),
    "sweep": (artpack.sweep, artpack.CompressInputs),
    "tokenize": (artpack.tokenize,),
    "train": (artpack.train,),
    "unpack": (artpack.unpack,),
    "verify": (artpack.verify,),
}

HELP = """
import sys
from artpack_cli.main import main
for words in {words}:
    sys.argv = ["artpack", *words]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, words
print("imported:", *{{name.partition(".")[0] for name in sys.modules}})
"""


def imported_by(*commands: tuple[str, ...]) -> set[str]:
    code = HELP.format(words=commands)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.rpartition("imported:")[2].split())


def test_help_imports_nothing_that_takes_time() -> None:
    assert imported_by(("--help",), ("--version",)) & SLOW == set()
    assert imported_by(*((name, "--help") for name in COMMANDS)) & SLOW == set()


def test_headers_and_recipes_are_read_without_what_takes_time(tmp_path: Path) -> None:
    """What decodes imports numba, what dequantizes torch; this does neither."""
    path = tmp_path / "a.artpack"
    weights = {"w": torch.randn(64, 64), "b": torch.arange(9), "s": torch.ones(2).half()}
    for recipe in ("frontier", "int6", "lossless"):
        artpack.compress(weights, recipe=recipe, profile="fast").save(path)
        for words in (("inspect",), ("inspect", "--json"), ("inspect", "--markdown")):
            loaded = imported_by((*words, str(path)))
            assert loaded & SLOW <= {"numpy", "rich", "zpaq"}, words
            assert loaded & {"scipy", "onnx", "llvmlite"} == set()
    assert imported_by(("recipes",), ("recipes", "show", "frontier")) & SLOW <= {
        "numpy",
        "rich",
        "zpaq",
    }


LOAD = "import sys; from artpack_cli.main import load; load({words}); print(*sys.modules)"


@pytest.mark.parametrize(("words", "loaded"), [(["-o", "b"], True), (["-o", "b", "-h"], False)])
def test_what_a_command_needs_is_loaded_before_it_runs(words: list[str], *, loaded: bool) -> None:
    """Until then a signal ends the program at once; later it is an exception."""
    code = LOAD.format(words=["compress", "a.pt", *words])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ("artpack.api.compress" in done.stdout.split()) == loaded


def test_what_commands_need_is_there() -> None:
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        assert find_spec(getattr(command, "needs", "artpack.recipes"))


def test_the_package_imports_nothing_until_it_is_asked() -> None:
    code = "import sys, artpack; artpack.errors, artpack.UsageError; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(done.stdout.split()) & SLOW == set()


def options(command: str) -> Iterator[click.Option]:
    found = group.get_command(click.Context(group), command)
    assert found is not None
    return (param for param in found.params if isinstance(param, click.Option))


@pytest.mark.parametrize("command", JOBS)
def test_defaults_are_those_of_the_library(command: str) -> None:
    """An option that is left out is an argument that is left out."""
    known: dict[str, object] = {}
    for job in JOBS[command]:
        known |= {name: p.default for name, p in inspect.signature(job).parameters.items()}
    if command == "calibrate":
        known["batch_tokens"] = known["settings"].batch_tokens  # type: ignore[attr-defined]
    spelled = {
        option.name: option.default
        for option in options(command)
        if option.name in known and isinstance(option.default, int | float | str)
    }
    assert spelled == {name: known[name] for name in spelled if name is not None}


def choices(command: str, name: str) -> list[str]:
    kinds = [option.type for option in options(command) if option.name == name]
    assert isinstance(kinds[0], click.Choice)
    return list(kinds[0].choices)


def help_of(command: str, name: str) -> str:
    return next(option.help or "" for option in options(command) if option.name == name)


def test_choices_are_those_of_the_library() -> None:
    assert list(scoring.PLACEMENTS) == list(PLACEMENTS)
    assert choices("compress", "profile") == list(PROFILES)
    assert choices("unpack", "dtype") == list(DTYPES)
    assert choices("eval", "ngram") == list(MIXERS)
    assert list(export.FORMATS) == list(FORMATS)
    for name, about in export.FORMATS.items():
        assert about.endswith(f"({FORMATS[name].system})")


def test_what_help_says_of_the_library_is_true() -> None:
    asked = help_of("compress", "recipe")
    assert f"By default {FRONTIER_RECIPE} " in asked
    assert f"else {DEFAULT_RECIPE}." in asked
    assert ttt.RECIPES.split(", ") == ttt_names()
    assert help_of("eval", "recipe").endswith(f" or {DEFAULT_TTT}.")
    assert f": {', '.join(training_names())}, " in help_of("train", "recipe")
    assert f"by default {REFERENCE.batch_tokens}," in help_of("eval", "batch_tokens")
    assert f"by default {FEWEST_TOKENS:,}," in help_of("audit", "limit_tokens")


def test_the_list_of_commands_is_complete() -> None:
    for name in COMMANDS:
        command = group.get_command(click.Context(group), name)
        assert command is not None
        assert command.help
    assert group.get_command(click.Context(group), "pack") is None
