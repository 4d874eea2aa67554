"""
English text that comes with Python: what models are calibrated on, and another to score.

Calibration: the docstrings of the standard library. Scored: the topics that ``help()`` prints,
taken from the language's reference.
"""

import ast
import hashlib
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_CHARACTERS = 400
"""Shorter docstrings have little of a text."""

WINDOW_TOKENS = 512


@dataclass(frozen=True, eq=False)
class Text:
    """
    Tokens of a text.

    Attributes:
        windows: Ids, (windows, WINDOW_TOKENS).
        text: What they stand for.
    """

    windows: NDArray[np.int64]
    text: str

    @property
    def bytes_per_token(self) -> float:
        """How many bytes of text a token stands for."""
        return len(self.text.encode()) / self.windows.size

    @property
    def digest(self) -> str:
        """What tells its tokens from others, 12 hexadecimal digits."""
        return hashlib.sha256(self.windows.tobytes()).hexdigest()[:12]


def docstrings() -> str:
    """Join the longer docstrings of the standard library, files in the order of their names."""
    found = []
    for path in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        tree = ast.parse(path.read_bytes())
        nodes = (node for node in ast.walk(tree) if isinstance(node, _DOCUMENTED))
        texts = (ast.get_docstring(node) or "" for node in nodes)
        found += [text for text in texts if len(text) >= MIN_CHARACTERS]
    return "\n\n".join(found)


def topics() -> str:
    """Join what ``help()`` says of the language."""
    from pydoc_data.topics import topics as known  # noqa: PLC0415 - half a megabyte

    return "\n\n".join(known[name] for name in sorted(known))


def tokenize(text: str, tokenizer: Any, tokens: int) -> Text:
    """Cut the first tokens of a text into windows."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    count = min(tokens, len(ids)) // WINDOW_TOKENS
    used = ids[: count * WINDOW_TOKENS]
    windows = np.array(used, np.int64).reshape(count, WINDOW_TOKENS)
    return Text(windows, tokenizer.decode(used))


_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
