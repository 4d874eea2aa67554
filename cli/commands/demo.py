"""``artpack demo``: everything that artpack does, on a small trained model."""

import io
import json
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import click

from artpack.demo import CALIBRATION, CHECKPOINT, HELD_OUT, TOKENIZER, WINDOW_TOKENS, write_demo
from artpack.errors import ArtifactError

from ..main import artpack
from ..options.outputs import Command, Output
from ..options.shared import json_option
from ..render import demo as render_demo

RECIPES = ("int5", "int4")
FRONTIER = "frontier"
CALIBRATED = "calibration.safetensors"
SCORED_TOKENS = 16384
LEARNING = ("--ttt", "--ttt-set", "chunk_tokens=2048", "--ttt-set", "epochs=1")
"""Less text and shorter updates than by default, so that all of it takes a minute."""

CUTS = "2"
"""Places at which the audit replaces what is to come; each takes a run."""

CALIBRATION_TOKENS = "16384"
WITHOUT_JSON = ("unpack",)

Found = dict[str, Any]


@click.command(cls=Command, needs="artpack.api.compress")
@click.option(
    "-o",
    "--output",
    type=Output(folder=True),
    default=Path("artpack-demo"),
    show_default=True,
    metavar="DIR",
    help="Where the model and its artifacts go.",
)
@json_option
def demo(*, output: Path, as_json: bool) -> None:
    """
    Pack, verify, unpack, score and audit the model that comes with artpack.

    It has about a million parameters and has read most of the King James Bible. Every
    command is printed before it is run.
    """
    started = time.monotonic()
    write_demo(output)
    shell = _Shell(output, quiet=as_json)
    size = (output / CHECKPOINT).stat().st_size
    rows = [{"name": "unpacked", "bytes": size, **shell.score(CHECKPOINT)}]
    rows += [shell.pack(recipe, ()) for recipe in RECIPES]
    shell.run("calibrate", CHECKPOINT, "-o", CALIBRATED, *shell.calibration)
    rows.append(shell.pack(FRONTIER, ("--calibration", CALIBRATED)))
    render_demo.report(rows, time.monotonic() - started, as_json=as_json)


class _Shell:
    """Runs commands of artpack in this process and reads the JSON that they print."""

    def __init__(self, folder: Path, *, quiet: bool) -> None:
        self.folder, self.quiet = folder, quiet
        self.calibration = (
            *("--tokens", CALIBRATION, "--tokenizer", TOKENIZER),
            *("--window-tokens", str(WINDOW_TOKENS), "--limit-tokens", CALIBRATION_TOKENS),
        )
        self.held_out = (
            *("--tokens", HELD_OUT, "--tokenizer", TOKENIZER),
            *("--window-tokens", str(WINDOW_TOKENS), "--limit-tokens", str(SCORED_TOKENS)),
        )

    def run(self, *words: str) -> Found:
        """Run a command with files of the folder; return what it found."""
        own = [self._placed(word) for word in words]
        if not self.quiet:
            render_demo.command(own)
        silent = own[0] in WITHOUT_JSON
        with redirect_stdout(io.StringIO()) as printed:
            code = artpack.main(own if silent else [*own, "--json"], standalone_mode=False)
        if code:
            raise ArtifactError(f"artpack {' '.join(own)}: failed with exit code {code}")
        found: Found = {} if silent else json.loads(printed.getvalue())
        return found

    def pack(self, recipe: str, options: tuple[str, ...]) -> Found:
        """Take the model through all that can be done with it; return a row of the table."""
        artifact = f"{recipe}.artpack"
        how = ("--recipe", recipe, *options, "--jobs", "2")
        packed = self.run("compress", CHECKPOINT, "-o", artifact, *how)
        self.run("inspect", artifact)
        checks = self.run("verify", artifact, "--against", CHECKPOINT)["checked"]
        self.run("unpack", artifact, "-o", f"{recipe}.safetensors")
        return {
            "name": recipe,
            "bytes": packed["bytes_out"],
            "bits_per_weight": packed["bits_per_weight"],
            "checks": checks,
            **self.score(artifact),
            "audit": self.audit(artifact),
        }

    def score(self, weights: str) -> Found:
        """Score weights as they are, beside the unpacked ones, and while they learn."""
        beside = () if weights == CHECKPOINT else ("--baseline", CHECKPOINT)
        plain = self.run("eval", weights, *self.held_out, *beside)
        learning = self.run("eval", weights, *self.held_out, *LEARNING)
        increase = plain["comparison"]["bits_per_byte_increase"] if beside else None
        return {
            "bits_per_byte": plain["score"]["bits_per_byte"],
            "increase": increase,
            "learning": learning["score"]["bits_per_byte"],
        }

    def audit(self, artifact: str) -> str:
        """Look for what is illegal about the score, learning included, on held-out text."""
        words = (*self.held_out[:-2], "--train-tokens", CALIBRATION, "--sample", CUTS, *LEARNING)
        found = self.run("audit", artifact, *words)
        return "passed" if found["audit"]["passed"] else "FAILED"

    def _placed(self, word: str) -> str:
        here = word in (CHECKPOINT, TOKENIZER, CALIBRATION, HELD_OUT)
        made = word.endswith((".artpack", ".safetensors"))
        return str(self.folder / word) if here or made else word
