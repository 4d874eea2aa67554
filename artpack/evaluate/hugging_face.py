"""
Causal language models of Hugging Face, from a local folder.

Needs transformers, which ``pip install 'artpack[hf]'`` brings; nothing is fetched and
no code of the folder is run. Bytes are those of the text itself, whatever its tokens.
"""

from collections.abc import Sequence
from importlib import import_module
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from artpack.errors import CheckpointError, UsageError
from artpack.evaluate.stream import DOCUMENT_SEPARATOR, Stream
from artpack.models.documents import Documents


class CausalLM:
    """
    A transformers model that can be scored.

    What comes between a model's last hidden state and its logits differs from family to
    family, so "hidden states" here are the logits of every position.

    Attributes:
        vocab_size: Every id must be below this.
        max_tokens: Longest window that the model takes; None if it does not say.

    Args:
        model: What ``AutoModelForCausalLM`` made.
    """

    def __init__(self, model: Any) -> None:
        self._model = model.eval()
        self.vocab_size: int = model.config.vocab_size
        self.max_tokens: int | None = getattr(model.config, "max_position_embeddings", None)

    def to(self, device: str) -> "CausalLM":
        """Move the model to a device; return it."""
        self._model.to(device)
        return self

    def hidden(self, ids: Tensor, documents: Documents | None = None) -> Tensor:
        """
        Run rows of tokens.

        Args:
            ids: int64 (B, T), padded on the right, where causal attention does not look.
            documents: None: every row is one window.

        Returns:
            Logits, (B, T, V).

        Raises:
            UsageError: Several windows share a row.

        """
        if documents is not None:
            raise UsageError(
                "a Hugging Face model cannot keep windows of one row apart;"
                " choose a placement that does not pack"
            )
        logits: Tensor = self._model(input_ids=ids, use_cache=False).logits
        return logits

    def logits(self, hidden: Tensor) -> Tensor:
        """Return what :meth:`hidden` computed."""
        return hidden


def read_causal_lm(folder: Path) -> tuple[CausalLM, Any]:
    """
    Read a model and its tokenizer, in float32.

    Args:
        folder: As ``save_pretrained`` writes it.

    Returns:
        The model on the CPU, and the tokenizer.

    Raises:
        UsageError: transformers is not installed.
        CheckpointError: transformers cannot read the folder.

    """
    try:
        transformers: Any = import_module("transformers")
    except ImportError as error:
        raise UsageError(
            "--hf needs transformers, an optional extra: pip install 'artpack[hf]'"
        ) from error
    transformers.utils.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()
    local = {"local_files_only": True, "trust_remote_code": False}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, **local).float()
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        raise CheckpointError(f"{folder}: transformers cannot read it: {error}") from error
    return CausalLM(model), tokenizer


def tokenize_documents(text: str, tokenizer: Any) -> Stream:
    """
    Turn text into tokens, each document after the BOS of the tokenizer, or its EOS.

    A token stands for the bytes of text up to its end that no token before it stands
    for, and the last one for all that is left: a document's tokens stand for exactly
    its UTF-8 bytes, also where several tokens spell one character or the tokenizer
    changes the text.

    Args:
        text: Documents, separated by NUL.
        tokenizer: A fast tokenizer of transformers.

    Returns:
        The stream, ids uint32.

    Raises:
        UsageError: The tokenizer does not tell where its tokens are in the text, has
            nothing to start a document with, or makes no token of a document with text.

    """
    start = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if start is None:
        raise UsageError("the tokenizer has neither BOS nor EOS to start documents with")
    if not tokenizer.is_fast:
        raise UsageError("the tokenizer does not tell where its tokens are; give a fast one")
    ids: list[int] = []
    byte_counts: list[int] = []
    for document in text.split(DOCUMENT_SEPARATOR):
        encoded = tokenizer(
            document, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        if document and not encoded["input_ids"]:
            raise UsageError(f"the tokenizer makes no token of {document[:40]!r}")
        ids += [start, *encoded["input_ids"]]
        byte_counts += [0, *_bytes_of(document, [end for _, end in encoded["offset_mapping"]])]
    return Stream(np.array(ids, np.uint32), np.array(byte_counts, np.int64), start)


def _bytes_of(document: str, ends: Sequence[int]) -> list[int]:
    """Share out a document's bytes among tokens that end at these characters."""
    if not ends:
        return []
    reached = [*accumulate(ends[:-1], max), len(document)]
    edges = [0, *accumulate(len(char.encode()) for char in document)]
    return [edges[end] - edges[start] for start, end in pairwise([0, *reached])]
