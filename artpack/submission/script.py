"""The script of a submission: one file that decodes, builds and scores an artifact by itself."""

import ast
from dataclasses import dataclass

from artpack.artifact.header import Header
from artpack.models.config import ModelConfig
from artpack.portable.bundle import decoder_source
from artpack.portable.linker import Place, link
from artpack.portable.small_source import pack_source
from artpack.stages import Record
from artpack.submission.folding import fold, known_of
from artpack.submission.record import Windows
from artpack.version import __version__

ENTRY = Place("artpack.submission.scorer", "main")
MODELS = "artpack.models."
CONFIG, WINDOWS = "CONFIG", "WINDOWS"


@dataclass(frozen=True)
class Script:
    """
    A script that scores one artifact.

    Attributes:
        source: What it does, to be read.
        small: The same in few bytes.
    """

    source: str
    small: str


def make_script(
    header: Header,
    config: ModelConfig,
    artifact: str,
    windows: Windows,
) -> Script:
    """
    Write the script of an artifact.

    Args:
        header: Of the artifact.
        config: Its model.
        artifact: Name of the artifact's file, beside the script.
        windows: What of the tokens is run and scored.

    Returns:
        The script. It needs torch, numpy and sentencepiece.

    Raises:
        UsageError: The artifact has a stream that needs a library.

    """
    decoder = decoder_source(header, quiet=True)
    inner = "".join(f"    {line}\n" for line in decoder.splitlines())
    source = (
        f"def _decoder():\n{inner}    return load\n\n{scorer_source(config, windows)}\n"
        f"if __name__ == '__main__':\n"
        f"    main(_decoder(), Path(__file__).with_name({artifact!r}), {CONFIG}, {WINDOWS})\n"
    )
    about = f'"""Decodes and scores {artifact}; made by artpack {__version__}."""\n'
    return Script(about + source, f"{pack_source(source, [])}exec(s)\n")


def scorer_source(config: ModelConfig, windows: Windows) -> str:
    """
    Write what builds and scores a model, with the mechanisms that it has and no others.

    Args:
        config: The model.
        windows: What of the tokens is run and scored.

    Returns:
        Python's source, with ``main``, ``CONFIG`` and ``WINDOWS``.

    """
    known = known_of(config)

    def change(place: Place, node: ast.stmt) -> ast.stmt:
        if not place.module.startswith(MODELS):
            return node
        return ast.fix_missing_locations(fold(node, known))

    wanted = {windows.placement, *(rule.grid.stage_id for rule in config.simulated)}
    records: dict[str, Record] = {CONFIG: config, WINDOWS: windows}
    return link(ENTRY, wanted, change=change, records=records)
