"""
The containers that PR 1934 has beside its per-group one: shuffled bytes in Brotli or xz.

Inside is ``torch.save`` of entries ``w`` and meta ``m``, as
:mod:`artpack.interop.pr1934.gptq_entries` describes them.

Source: parameter-golf pull request 1934, its compressors ``brotli`` and ``lzma``.
"""

from collections.abc import Mapping
from typing import Any

from artpack.coding.codecs import Brotli
from artpack.interop.archive import write_archive
from artpack.interop.container import Container
from artpack.interop.pr1934.gptq_entries import read_entries, write_entries
from artpack.interop.pr1934.shuffle import shuffle
from artpack.interop.wrapping import encode_xz

NAME = "byte-shuffle"
NAME_XZ = "byte-shuffle-xz"
PRESET = 6


def read(entries: dict[str, Any], meta: Mapping[str, Any], *, name: str = NAME) -> Container:
    """
    Read the content of a container.

    Args:
        entries: What is under ``w``; taken apart here.
        meta: What is under ``m``.
        name: Of the format, which what the bytes are wrapped in tells.

    Returns:
        Its tensors, under the names that they have outside of banks.

    Raises:
        CorruptError: An entry is missing, of the wrong kind, or belongs to nothing.

    """
    return Container(name, read_entries(entries, meta), banked=True)


def write(container: Container) -> bytes:
    """
    Write a container in Brotli.

    Args:
        container: Tensors as :func:`artpack.interop.pr1934.gptq_entries.write_entries` takes them.

    Returns:
        The whole file.

    Raises:
        UsageError: A tensor does not fit in.

    """
    return Brotli(window_log=22).encode(_shuffled(container))


def write_xz(container: Container) -> bytes:
    """
    Write a container in xz.

    Args:
        container: As :func:`write` takes it.

    Returns:
        The whole file.

    Raises:
        UsageError: A tensor does not fit in.

    """
    return encode_xz(_shuffled(container), preset=PRESET)


def _shuffled(container: Container) -> bytes:
    entries, meta = write_entries(container.tensors)
    return shuffle(write_archive({"w": entries, "m": meta}))
