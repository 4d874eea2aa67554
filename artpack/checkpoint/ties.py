"""Tensors that are one tensor under several names."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from artpack.checkpoint.reader import TensorReader

EMBEDDINGS = (
    "tok_emb.weight",
    "embed_tokens.weight",
    "wte.weight",
    "tok_embeddings.weight",
    "token_embedding.weight",
    "word_embeddings.weight",
    "embed_in.weight",
    "embedding.weight",
    "shared.weight",
)
"""Ends of names of token embeddings."""

HEADS = (
    "lm_head.weight",
    "output.weight",
    "head.weight",
    "embed_out.weight",
    "unembed.weight",
)
"""Ends of names of output heads, which many models tie to the embedding."""


@dataclass(frozen=True)
class Tie:
    """
    A name for a tensor that has another name already.

    Attributes:
        name: The name.
        target: The name under which the tensor is stored.
    """

    name: str
    target: str


def find_ties(reader: TensorReader) -> tuple[Tie, ...]:
    """
    Find the names that mean the same tensor.

    They do if their elements lie in the same memory, or if both are names of
    an embedding or a head and the elements are equal byte by byte. The
    embedding's name is the target, otherwise the first.

    Args:
        reader: The tensors; only embeddings and heads of equal shape are read.

    Returns:
        All names but one of each tensor, in the reader's order.

    """
    memory = {info.name: reader.memory(info.name) for info in reader.infos}
    kinds = {info.name: (info.shape, info.dtype) for info in reader.infos}
    content = {
        memory[name]: (kinds[name], reader.digest(name)) for name in _comparable(memory, kinds)
    }
    groups: dict[object, list[str]] = {}
    for name, place in memory.items():
        groups.setdefault(content.get(place, place), []).append(name)
    target = {name: _target(group) for group in groups.values() for name in group}
    return tuple(Tie(name, target[name]) for name in memory if target[name] != name)


def _comparable(memory: Mapping[str, object], kinds: Mapping[str, object]) -> list[str]:
    """List one name of each embedding or head that has a counterpart of its kind elsewhere."""
    ends = (*EMBEDDINGS, *HEADS)
    names = {place: name for name, place in memory.items() if _ends_with(name, ends)}.values()
    count = Counter(kinds[name] for name in names)
    return [name for name in names if count[kinds[name]] > 1]


def _target(group: list[str]) -> str:
    return next((name for name in group if _ends_with(name, EMBEDDINGS)), group[0])


def _ends_with(name: str, ends: tuple[str, ...]) -> bool:
    return f".{name}".endswith(tuple(f".{end}" for end in ends))
