"""Tokens to calibrate with, wherever they are."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from artpack.calibration.windows import Windows, cut_windows
from artpack.errors import UsageError
from artpack.evaluation.tokens.shards import read_tokens
from artpack.evaluation.tokens.stream import is_text, read_text, read_tokenizer, tokenize_text
from artpack.models import ModelConfig
from artpack.models.find import find_training_window

TokenSource: TypeAlias = str | os.PathLike[str] | NDArray[np.integer]
"""Shards, ``.npy`` arrays or a ``.txt`` file; or an array of ids (tokens,)."""

LIMIT_TOKENS = 32_768
"""How many tokens a calibration runs, unless told otherwise."""

WINDOW_TOKENS = 1024
"""Where nobody says what the model was trained with."""


def choose_window(
    asked: int | None, config: ModelConfig, path: Path | None
) -> tuple[int, tuple[str, ...]]:
    """
    Choose how many tokens a window has.

    Args:
        asked: What was asked for, if anything.
        config: The model.
        path: The checkpoint's file, if there is one.

    Returns:
        Tokens a window; and a note where they are anybody's guess.

    """
    known = asked or find_training_window(config, path)
    if known is not None:
        return known, ()
    return WINDOW_TOKENS, (f"window: {WINDOW_TOKENS} tokens; `window_tokens` says another",)


def read_windows(
    tokens: TokenSource,
    config: ModelConfig,
    window_tokens: int,
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    limit_tokens: int = LIMIT_TOKENS,
) -> Windows:
    """
    Read windows to run a model over.

    Args:
        tokens: Where the tokens are.
        config: The model; every id must be below its vocabulary.
        window_tokens: Tokens a window.
        tokenizer: SentencePiece model of the tokens; text needs it.
        limit_tokens: Take no more than this, spread evenly.

    Returns:
        The windows.

    Raises:
        UsageError: A file is missing or lies about itself, text has no tokenizer, or an
            id is beyond the vocabulary.

    """

    def encode(text: str) -> NDArray[np.uint32]:
        if tokenizer is None:
            raise UsageError(f"{tokens}: text needs its `tokenizer`")
        return tokenize_text(text, read_tokenizer(Path(tokenizer))).ids

    ids = read_ids(tokens, encode, config.vocab_size)
    return cut_windows(ids, window_tokens, limit_tokens=limit_tokens)


def read_ids(
    tokens: TokenSource, encode: Callable[[str], NDArray[np.uint32]], vocab_size: int
) -> NDArray[np.uint32]:
    """
    Read token ids.

    Args:
        tokens: Where they are.
        encode: Turns text into ids.
        vocab_size: Every id must be below this.

    Returns:
        The ids, (tokens,).

    Raises:
        UsageError: A file is missing, lies about itself or holds no text, or an id is beyond
            the vocabulary.

    """
    if isinstance(tokens, np.ndarray):
        return _checked(tokens, vocab_size)
    pattern = token_pattern(tokens)
    if not is_text(pattern):
        return read_tokens(pattern, vocab_size=vocab_size)
    text = read_text(Path(pattern))
    if not text.strip("\0 \n\r\t"):
        raise UsageError(f"{pattern}: there is no text in it")
    ids = encode(text)
    if int(ids.max()) >= vocab_size:
        raise UsageError(
            f"{pattern}: ids of its tokenizer go beyond the model's vocabulary of {vocab_size}"
        )
    return ids


def token_pattern(tokens: object) -> str:
    """
    Return the pattern of token files.

    Args:
        tokens: What was given for it.

    Returns:
        The pattern.

    Raises:
        UsageError: It is no path.

    >>> token_pattern("train_*.bin")
    'train_*.bin'

    """
    if isinstance(tokens, str | os.PathLike):
        return os.fspath(tokens)
    raise UsageError(
        f"`tokens`: a path or a numpy array of ids (tokens,) is needed, got {type(tokens).__name__}"
    )


def _checked(ids: NDArray[np.integer], vocab_size: int) -> NDArray[np.uint32]:
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise UsageError(
            f"`tokens`: an array of ids (tokens,) is needed, got {ids.dtype}{ids.shape}"
        )
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < vocab_size:
        raise UsageError(f"`tokens`: ids must be in 0..{vocab_size - 1}, the model's vocabulary")
    return ids.astype(np.uint32)
