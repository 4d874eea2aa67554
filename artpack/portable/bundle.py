"""A decoder of one artifact, as a Python module that needs nothing but numpy."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from artpack.artifact.header import Header
from artpack.errors import UsageError
from artpack.portable.c_source import c_source
from artpack.portable.linker import Place, link
from artpack.portable.small_source import pack_source
from artpack.stages import Config
from artpack.system.atomic import write_atomically
from artpack.version import __version__

ENTRY = Place("artpack.portable.reader", "load")
ERROR = "ArtifactError"

IMPLIED = {"bf16": "bfloat16", "fp8": "float8_e4m3fn", "fp32": "float32"}
"""Stages whose numbers have a dtype of their own; scales in fp16 are everywhere."""

ALWAYS = frozenset({"float16", "int16"})


@dataclass(frozen=True)
class Bundle:
    """
    A decoder of one artifact.

    Attributes:
        source: What it does, to be read.
        small: The same in few bytes, as a module that unpacks itself: what counts where code does.
            In C both are the same.
    """

    source: str
    small: str

    @property
    def size_bytes(self) -> int:
        """Size of the small form."""
        return len(self.small.encode())

    def save(self, path: str | os.PathLike[str], *, readable: bool = False) -> int:
        """
        Write the decoder, whole or not at all.

        Args:
            path: Where to.
            readable: Write the form that is read by people.

        Returns:
            Its size in bytes.

        Raises:
            OSError: It cannot be written.

        """
        text = self.source if readable else self.small
        return write_atomically(Path(path), [text.encode()])


def make_bundle(header: Header, *, class_name: str | None = None) -> Bundle:
    """
    Write the decoder of an artifact.

    Args:
        header: Of the artifact.
        class_name: Put everything into a class of this name, so that it can be pasted into
            another file; its attributes are ``load`` and ``Error``.

    Returns:
        The decoder. Its ``load(path_or_bytes, *, torch=False)`` is
        :func:`artpack.portable.reader.load`.

    Raises:
        UsageError: The artifact has a stream that needs a library, or the name is none.

    """
    if class_name is not None and not class_name.isidentifier():
        raise UsageError(f"`class_name`: {class_name!r} is no name of a class")
    source = decoder_source(header)
    about = f'"""A decoder made by artpack {__version__}: load(path_or_bytes)."""\n'
    small = pack_source(decoder_source(header, quiet=True), [ENTRY.name, ERROR])
    if class_name is None:
        return Bundle(about + source, f"{small}exec(s)\n")
    inner = "".join(f"    {line}\n" for line in source.splitlines())
    return Bundle(
        f"{about}def _decoder():\n{inner}    return load, {ERROR}\n\n"
        f"class {class_name}:\n    load, Error = map(staticmethod, _decoder())\n",
        f"{small}n={{'__name__':__name__}}\nexec(s,n)\n"
        f"class {class_name}:load=staticmethod(n[{ENTRY.name!r}]);Error=n[{ERROR!r}]\n",
    )


def make_c_bundle(header: Header) -> Bundle:
    """
    Write the decoder of an artifact in C99: the same for all that it can read.

    Args:
        header: Of the artifact.

    Returns:
        The decoder: one file without dependencies.

    Raises:
        UsageError: The artifact has a stream that needs a library.

    """
    check_portable(header)
    return Bundle(c_source(), c_source())


def decoder_source(header: Header, *, quiet: bool = False) -> str:
    """
    Write the decoder of an artifact as it is read by people.

    Args:
        header: Of the artifact.
        quiet: Leave out what errors say besides their name: a tenth of the bytes.

    Returns:
        Python's source.

    Raises:
        UsageError: The artifact has a stream that needs a library.

    """
    check_portable(header)
    return link_decoder(frozenset(_wanted(header)), quiet=quiet)


def check_portable(header: Header) -> None:
    """
    Refuse an artifact that needs a library to be read.

    Args:
        header: Of the artifact.

    Raises:
        UsageError: It does; names the first stream.

    """
    for number, stream in enumerate(header.plan.streams):
        if not stream.pipeline.portable:
            name = header.plan.tensors[stream.members[0].tensor].name
            raise UsageError(
                f"stream {number} (of {name!r}) needs {stream.pipeline.codec.stage_id}, which"
                " decoders without libraries lack: pack again with `portable`"
            )


@lru_cache(maxsize=64)
def link_decoder(wanted: frozenset[str], *, quiet: bool = False) -> str:
    """
    Write the decoder for some stages and dtypes.

    Args:
        wanted: Their ids and names.
        quiet: Leave out what errors say besides their name: a tenth of the bytes.

    Returns:
        Python's source.

    """
    return link(ENTRY, wanted, quiet=quiet)


def _wanted(header: Header) -> Iterator[str]:
    """Return ids of stages, and names of dtypes."""
    yield from ALWAYS
    stages: list[Any] = [tensor.quantizer for tensor in header.plan.tensors]
    stages += [stream.pipeline for stream in header.plan.streams]
    for stage in dict.fromkeys(stages):
        for one in (stage.stage_id, *_ids(stage.config())):
            yield from (one, IMPLIED.get(one, one))
    for tensor in header.plan.tensors:
        yield tensor.dtype


def _ids(config: Config) -> Iterator[str]:
    for value in config.values():
        if isinstance(value, dict):
            yield str(value["id"])
            yield from _ids(value)
