"""The text behind the tokens: its bytes, its hash, and whether it was trained on."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from artpack.evaluate.audit.condition import Condition
from artpack.evaluate.byte_check import ByteCheck, check_bytes
from artpack.evaluate.documents import document_spans
from artpack.evaluate.shards import Tokens, read_tokens
from artpack.evaluate.stream import Stream


def judge_bytes(
    stream: Stream, tokenizer: SentencePieceProcessor, *, texts: Sequence[str] | None = None
) -> tuple[Condition, dict[str, str]]:
    """
    Decode the text, count its bytes and compare with those that the score divides by.

    Args:
        stream: All tokens and the bytes that they are said to stand for.
        tokenizer: The model that the tokens were made with.
        texts: The documents that they were made of, if they are known.

    Returns:
        The finding, and the SHA-256 of the token ids (32 bits each, little endian) and of
        the text (documents parted by NUL).

    """
    check = check_bytes(
        stream.ids, stream.byte_counts, tokenizer, bos_id=stream.bos_id, texts=texts
    )
    finding = Condition.judge(
        "bytes",
        "the bytes that the score divides by are those of the decoded text, token by token,"
        " and no text is lost",
        f"{check.documents:,} documents, {check.decoded:,} bytes",
        _byte_violations(check),
    )
    tokens = sha256(stream.ids.astype("<u4").tobytes()).hexdigest()
    return finding, {"token ids": tokens, "text": check.sha256}


def _byte_violations(check: ByteCheck) -> Iterator[str]:
    if (first := check.first) is not None:
        yield (
            f"{check.mismatches:,} documents: {check.counted:,} bytes counted,"
            f" {check.decoded:,} decoded; first document {first.document:,} at token"
            f" {first.start:,}: {first.counted:,} counted, {first.decoded:,} decoded,"
            f" wrong from token {first.token:,} on"
        )
    yield from check.losses.lines()


def judge_overlap(stream: Stream, shards: list[Path]) -> Condition:
    """
    Look for the documents of the stream among those of training.

    Args:
        stream: All tokens that are scored.
        shards: Training tokens of the same tokenizer; a document that two of them share
            is looked at in its parts.

    Returns:
        The finding.

    """
    ours = {digest: start for digest, start, _ in _documents(stream.ids, stream.bos_id)}
    seen: dict[bytes, str] = {}
    documents = tokens = 0
    for shard in shards:
        for digest, start, length in _documents(read_tokens(str(shard)), stream.bos_id):
            documents, tokens = documents + 1, tokens + length
            if digest in ours and digest not in seen:
                seen[digest] = f"{shard.name} at token {start:,}"
    return Condition.judge(
        "overlap",
        "no scored document is among those of training",
        f"{len(ours):,} different documents against {documents:,} of {tokens:,} tokens",
        (f"the document at token {ours[digest]:,} is in {where}" for digest, where in seen.items()),
    )


def _documents(ids: Tokens, bos_id: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield hash, first token and length of every document that is not empty."""
    words = ids.astype("<u4")
    for start, stop in document_spans(ids, bos_id):
        first = start + int(ids[start] == bos_id)
        if first < stop:
            yield sha256(words[first:stop].tobytes()).digest(), start, stop - start
