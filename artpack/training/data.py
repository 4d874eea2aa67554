"""The folder that a run reads: token shards, held-out shards, the tokenizer."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from artpack.errors import UsageError
from artpack.evaluation.tokens.shards import Tokens, find_shards, read_shard
from artpack.evaluation.tokens.stream import Stream, read_stream, read_tokenizer


@dataclass(frozen=True, eq=False)
class Data:
    """
    What a run reads.

    Attributes:
        shards: Tokens to train on, in the order of their names.
        held_out: Tokens to score.
        vocab_size: Pieces of the tokenizer.
        sha256: Of the tokenizer and all tokens to train on.
    """

    shards: tuple[Tokens, ...]
    held_out: Stream
    vocab_size: int
    sha256: str

    @property
    def tokens(self) -> int:
        """How many there are to train on."""
        return sum(shard.size for shard in self.shards)

    def in_order(self, order: list[int] | None = None) -> Tokens:
        """Return the shards as one stream, in their own order or in another."""
        chosen = self.shards if order is None else [self.shards[number] for number in order]
        return np.concatenate(chosen)


def read_data(folder: Path, *, held_out_tokens: int | None = None) -> Data:
    """
    Read a folder of ``artpack tokenize``, or of a seed.

    Args:
        folder: With ``*_train_*.bin``, ``*_val_*.bin``, perhaps ``*_val_bytes_*.bin``, and
            one ``*.model``.
        held_out_tokens: Score no more than the first so many; all of them for None.

    Returns:
        The data.

    Raises:
        UsageError: Something is missing, or there are several tokenizers.

    """
    models = sorted(folder.glob("*.model"))
    if len(models) != 1:
        raise UsageError(f"{folder}: {len(models)} files *.model; one tokenizer is needed")
    tokenizer = read_tokenizer(models[0])
    vocab_size = tokenizer.vocab_size()
    paths = find_shards(str(folder / "*_train_*.bin"))
    shards = tuple(read_shard(path, vocab_size=vocab_size) for path in paths)
    sidecar = str(folder / "*_val_bytes_*.bin") if any(folder.glob("*_val_bytes_*.bin")) else None
    held_out = read_stream(str(folder / "*_val_*.bin"), tokenizer, sidecar=sidecar)
    digest = hashlib.sha256(models[0].read_bytes())
    for shard in shards:
        digest.update(shard.astype("<u2").tobytes())
    return Data(shards, held_out.first(held_out_tokens), vocab_size, digest.hexdigest())
