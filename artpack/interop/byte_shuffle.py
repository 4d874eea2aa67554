"""
The container that PR 1934 had before its per-group one: Brotli around shuffled bytes.

Inside is ``torch.save`` of entries ``w`` and meta ``m``, as
:mod:`artpack.interop.gptq_entries` describes them.

Source: parameter-golf pull request 1934, its compressor ``brotli``.
"""

from collections.abc import Mapping
from typing import Any

from artpack.coding.codecs import Brotli
from artpack.interop.archive import write_archive
from artpack.interop.container import Container
from artpack.interop.gptq_entries import read_entries, write_entries
from artpack.interop.shuffle import shuffle

NAME = "byte-shuffle"


def read(entries: dict[str, Any], meta: Mapping[str, Any]) -> Container:
    """
    Read the content of a container.

    Args:
        entries: What is under ``w``; taken apart here.
        meta: What is under ``m``.

    Returns:
        Its tensors, under the names that they have outside of banks.

    Raises:
        CorruptError: An entry is missing, of the wrong kind, or belongs to nothing.

    """
    return Container(NAME, read_entries(entries, meta), banked=True)


def write(container: Container) -> bytes:
    """
    Write a container.

    Args:
        container: Tensors as :func:`artpack.interop.gptq_entries.write_entries` takes them.

    Returns:
        The whole file.

    Raises:
        UsageError: A tensor does not fit in.

    """
    entries, meta = write_entries(container.tensors)
    return Brotli(window_log=22).encode(shuffle(write_archive({"w": entries, "m": meta})))
