"""
Tokenized text for a training run: a tokenizer, token shards, byte sidecars.

::

    text ─► documents ─► held out or not, by hash ─► SentencePiece BPE ─► shards

Source: the tokenizers and shards of the five published systems; CaseOps as in PR 1934.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sentencepiece import SentencePieceProcessor, SentencePieceTrainer

from artpack.errors import UsageError
from artpack.evaluation.tokens import caseops
from artpack.evaluation.tokens.documents import DOCUMENT_SEPARATOR
from artpack.evaluation.tokens.shards import SIDECAR_MARK, write_shard
from artpack.evaluation.tokens.stream import Stream, tokenize_text
from artpack.system.atomic import write_atomically

TOKENIZER_NAME = "tokenizer.model"
SHARD_TOKENS = 10_000_000
_SENTENCE_BYTES = 4096


@dataclass(frozen=True)
class Split:
    """
    Documents to train on and documents that are held out.

    Attributes:
        train: Texts, in the order given.
        held_out: Likewise; no text of ``train`` is among them.
    """

    train: tuple[str, ...]
    held_out: tuple[str, ...]


def split_documents(texts: Iterable[str], *, held_out_share: float) -> Split:
    r"""
    Cut texts into documents and hold out some of them.

    What happens to a document depends on its words alone, so copies of one are never on
    both sides, and a document stays where it was when others come or go.

    Args:
        texts: Documents separated by NUL; empty ones are left out.
        held_out_share: The expected share of documents that are held out, 0 to 1.

    Returns:
        Both sides.

    Raises:
        UsageError: The share is out of range, or one side has no document.

    >>> split = split_documents(["a\0b\0c d\0c  d"], held_out_share=0.5)
    >>> split.train, split.held_out
    (('a', 'c d', 'c  d'), ('b',))

    """
    if not 0 < held_out_share < 1:
        raise UsageError(f"held_out_share must be between 0 and 1, got {held_out_share}")
    train: list[str] = []
    held_out: list[str] = []
    for text in texts:
        for document in filter(str.strip, text.split(DOCUMENT_SEPARATOR)):
            (held_out if _hash(document) < held_out_share else train).append(document)
    if not train or not held_out:
        raise UsageError(
            f"{len(train)} documents to train on and {len(held_out)} held out: both need one;"
            " separate documents by NUL, or change the held-out share"
        )
    return Split(tuple(train), tuple(held_out))


def train_tokenizer(documents: Sequence[str], vocab_size: int, *, case_ops: bool = False) -> bytes:
    """
    Train a SentencePiece BPE model as the seeds' were.

    Ids: 0 pad, 1 BOS, 2 EOS, 3 unknown, with CaseOps 4 to 7 its operators, then 256 bytes.

    Args:
        documents: Texts.
        vocab_size: Number of pieces; fewer come out if the text does not have so many.
        case_ops: Learn on CaseOps text, with the operators as pieces of their own.

    Returns:
        The model file's content.

    Raises:
        UsageError: The text does not fit the vocabulary's size.

    """
    model = io.BytesIO()
    try:
        SentencePieceTrainer.train(
            sentence_iterator=_sentences(documents, case_ops=case_ops),
            model_writer=model,
            model_type="bpe",
            vocab_size=vocab_size,
            hard_vocab_limit=False,
            character_coverage=0.999,
            byte_fallback=True,
            split_digits=True,
            add_dummy_prefix=False,
            normalization_rule_name="nmt_nfkc",
            pad_id=0,
            bos_id=1,
            eos_id=2,
            unk_id=3,
            user_defined_symbols=list(caseops.OPERATORS) if case_ops else [],
            max_sentence_length=2 * _SENTENCE_BYTES,
            minloglevel=2,
        )
    except (RuntimeError, OSError) as error:
        reason = str(error).rpartition("]")[2].strip() or str(error)
        raise UsageError(f"no vocabulary of {vocab_size} from this text: {reason}") from error
    return model.getvalue()


def write_dataset(
    folder: Path, split: Split, model: bytes, *, shard_tokens: int = SHARD_TOKENS
) -> dict[str, int]:
    """
    Write a tokenizer, ``text_train_*.bin``, ``text_val_*.bin`` and ``text_val_bytes_*.bin``.

    Args:
        folder: Where to; made if it is missing.
        split: The documents.
        model: The tokenizer.
        shard_tokens: Tokens a shard; the last one of a kind is shorter.

    Returns:
        Tokens and bytes of text of both sides.

    Raises:
        UsageError: The folder already has shards, or another tokenizer.
        OSError: It cannot be written to.

    """
    check_empty(folder, model)
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / TOKENIZER_NAME, [model])
    tokenizer = SentencePieceProcessor(model_proto=model)
    sizes = {}
    for side, documents in (("train", split.train), ("val", split.held_out)):
        stream = tokenize_text(DOCUMENT_SEPARATOR.join(documents), tokenizer)
        _write_shards(folder, side, stream, shard_tokens, sidecars=side == "val")
        sizes[f"{side}_tokens"] = int(stream.ids.size)
        sizes[f"{side}_bytes"] = int(stream.byte_counts.sum())
    return sizes


def check_empty(folder: Path, model: bytes | None = None) -> None:
    """
    Check before long work that a folder has nothing that a dataset would replace.

    Args:
        folder: Where the dataset goes; it need not be there.
        model: The tokenizer, which may be there already; None if it is not known yet.

    Raises:
        UsageError: It has shards, or another tokenizer.

    """
    if any(folder.glob("text_*.bin")):
        raise UsageError(f"{folder}: there are shards already; give an empty folder")
    old = folder / TOKENIZER_NAME
    if old.exists() and old.read_bytes() != model:
        raise UsageError(f"{old}: there is another tokenizer already; give an empty folder")


def _write_shards(
    folder: Path, side: str, stream: Stream, shard_tokens: int, *, sidecars: bool
) -> None:
    for number, start in enumerate(range(0, stream.ids.size, shard_tokens)):
        part = slice(start, start + shard_tokens)
        write_shard(folder / f"text_{side}_{number:06d}.bin", stream.ids[part])
        if sidecars:
            name = f"text_{side}{SIDECAR_MARK}{number:06d}.bin"
            write_shard(folder / name, stream.byte_counts[part])


def _hash(document: str) -> float:
    """Return a number in [0, 1) that follows from a document's words."""
    digest = hashlib.sha256(" ".join(document.split()).encode()).digest()
    return int.from_bytes(digest[:8], "little") / (1 << 64)


def _sentences(documents: Iterable[str], *, case_ops: bool) -> Iterator[str]:
    """Cut documents where lines end; the trainer would leave out what is too long."""
    for document in documents:
        text = caseops.encode(document) if case_ops else document
        for line in text.splitlines():
            for start in range(0, len(line), _SENTENCE_BYTES // 4):
                yield line[start : start + _SENTENCE_BYTES // 4]
