"""
Text as the tokens of a tokenizer of Hugging Face.

Bytes are those of the text itself, where its tokens give it back; unknown tokens stand
for none.
"""

from collections.abc import Sequence
from hashlib import sha256
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from artpack.errors import UsageError
from artpack.evaluation.tokens.byte_check import ByteCheck, Losses, same_text
from artpack.evaluation.tokens.documents import DOCUMENT_SEPARATOR, document_spans
from artpack.evaluation.tokens.stream import Stream

_AS_IT_IS = {"clean_up_tokenization_spaces": False}


def start_of(tokenizer: Any) -> int:
    """
    Return what documents start with.

    Args:
        tokenizer: A tokenizer of transformers.

    Returns:
        Its BOS, or its EOS.

    Raises:
        UsageError: It has neither.

    """
    for start in (tokenizer.bos_token_id, tokenizer.eos_token_id):
        if start is not None:
            return int(start)
    raise UsageError("the tokenizer has neither BOS nor EOS to start documents with")


def tokenize_documents(text: str, tokenizer: Any) -> Stream:
    """
    Turn text into tokens, each document after the BOS of the tokenizer, or its EOS.

    A token stands for the bytes of text up to its end that no token before it stands
    for, and the last one for all that is left: a document's tokens stand for exactly
    its UTF-8 bytes, also where several tokens spell one character. Unknown tokens stand
    for nothing, as their text is lost.

    Args:
        text: Documents, separated by NUL.
        tokenizer: A fast tokenizer of transformers.

    Returns:
        The stream, ids uint32.

    Raises:
        UsageError: The tokenizer does not tell where its tokens are in the text, has
            nothing to start a document with, or makes no token of a document with text.

    """
    start = start_of(tokenizer)
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
        counts = _bytes_of(document, [end for _, end in encoded["offset_mapping"]])
        known = [_is_known(token, tokenizer) for token in encoded["input_ids"]]
        byte_counts += [0, *(count * one for count, one in zip(counts, known, strict=True))]
    return Stream(np.array(ids, np.uint32), np.array(byte_counts, np.int64), start)


def check_text(stream: Stream, text: str, tokenizer: Any) -> ByteCheck:
    """
    Decode every document and compare it with the text that it was made of.

    Args:
        stream: What :func:`tokenize_documents` made.
        text: Of this.
        tokenizer: With this.

    Returns:
        How many documents are not given back, and how many tokens are unknown.

    """
    documents = text.split(DOCUMENT_SEPARATOR)
    spans = document_spans(stream.ids, stream.bos_id)
    decoded = [
        str(tokenizer.decode(stream.ids[start + 1 : stop].tolist(), **_AS_IT_IS))
        for start, stop in spans
    ]
    changed = sum(not same_text(*pair) for pair in zip(documents, decoded, strict=False))
    return ByteCheck(
        documents=len(documents),
        counted=int(stream.byte_counts.sum()),
        decoded=sum(len(document.encode()) for document in decoded),
        mismatches=0,
        first=None,
        losses=Losses(
            tokens=sum(not _is_known(token, tokenizer) for token in stream.ids.tolist()),
            documents=changed + abs(len(documents) - len(decoded)),
        ),
        sha256=sha256(DOCUMENT_SEPARATOR.join(decoded).encode()).hexdigest(),
    )


def _is_known(token: int, tokenizer: Any) -> bool:
    """Say whether a token stands for text; many tokenizers start documents with their unknown."""
    starts = (tokenizer.bos_token_id, tokenizer.eos_token_id)
    return token != tokenizer.unk_token_id or token in starts


def _bytes_of(document: str, ends: Sequence[int]) -> list[int]:
    """Share out a document's bytes among tokens that end at these characters."""
    if not ends:
        return []
    reached = [*accumulate(ends[:-1], max), len(document)]
    edges = [0, *accumulate(len(char.encode()) for char in document)]
    return [edges[end] - edges[start] for start, end in pairwise([0, *reached])]
