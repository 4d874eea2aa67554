"""The text behind the tokens: its bytes and its hash."""

from collections.abc import Iterator, Sequence
from hashlib import sha256

from sentencepiece import SentencePieceProcessor

from artpack.evaluation.audit.condition import Condition
from artpack.evaluation.tokens.byte_check import ByteCheck, check_bytes
from artpack.evaluation.tokens.stream import Stream


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
