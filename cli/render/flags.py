"""Flags in the place of the library's arguments, in whatever the library says."""

import re

FLAGS = {
    "class_name": "--class",
    "compiled": "--compile",
    "deadline_s": "--deadline-seconds",
    "overrides": "--set",
    "scoring": "--score-tokens",
    "scoring.tokenizer": "--score-tokenizer",
    "self_generated": "--self-generate",
    "source": "ARTIFACT",
    "state": "--resume",
    "tune_steps": "--tune",
}
"""Arguments of the library whose flags have other names."""


def with_flags(message: str) -> str:
    """
    Put flags in the place of the library's arguments, which stand in backticks.

    Args:
        message: Of an error or a note.

    Returns:
        The message as a user of the command line understands it.

    >>> with_flags("text needs its `tokenizer`: say the model with `model`")
    'text needs its --tokenizer: say the model with --model'

    """
    return re.sub(r"`([\w.]+)`", lambda field: _flag(field[1]), message)


def _flag(field: str) -> str:
    return FLAGS.get(field, f"--{field.replace('_', '-')}")
