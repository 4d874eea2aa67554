"""The known formats, told by a file's own bytes."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from artpack.artifact.format import MAGIC, max_decoded_bytes
from artpack.errors import CorruptError, TruncatedError, UsageError
from artpack.interop.archive import read_archive
from artpack.interop.container import Container
from artpack.interop.fields import as_dict
from artpack.interop.pr576 import torch_zstd
from artpack.interop.pr826 import torch_lzma
from artpack.interop.pr1123 import rans_archive
from artpack.interop.pr1934 import byte_shuffle, per_group
from artpack.interop.pr2086 import per_stream
from artpack.interop.wrapping import XZ_MAGIC, Allowance, unwrap
from artpack.stages import nearest


class Format(NamedTuple):
    """
    A container format.

    Attributes:
        system: Who writes it.
        write: Container and file name to the file's bytes.
    """

    system: str
    write: Callable[[Container, str], bytes]


def _plainly(write: Callable[[Container], bytes]) -> Callable[[Container, str], bytes]:
    return lambda container, _file_name: write(container)


FORMATS = {
    per_stream.NAME: Format("pr2086", _plainly(per_stream.write)),
    per_group.NAME: Format("pr1934", _plainly(per_group.write)),
    byte_shuffle.NAME: Format("pr1934", _plainly(byte_shuffle.write)),
    byte_shuffle.NAME_XZ: Format("pr1934", _plainly(byte_shuffle.write_xz)),
    torch_zstd.NAME: Format("pr576", _plainly(torch_zstd.write)),
    **{
        form: Format("pr826", _plainly(partial(torch_lzma.write, form=form)))
        for form in torch_lzma.PACKERS
    },
    rans_archive.NAME: Format(
        "pr1123", lambda container, name: rans_archive.write(container, file_name=name)
    ),
}
"""Name to format."""


def read_container(data: bytes, *, max_bytes: int | None = None) -> Container:
    """
    Read a container of any of the formats.

    Args:
        data: The whole file.
        max_bytes: Refuse a file of which more than this would have to be decoded; by
            default 64 MiB and 256 times its size.

    Returns:
        Its content.

    Raises:
        ArtifactError: It is damaged, cut short, hostile, or none of these formats.
        UsageError: It needs the program ``lrzip``, and that is missing.

    """
    if not data:
        raise TruncatedError("the file is empty")
    if data.startswith(MAGIC):
        raise UsageError("this is an artpack artifact already")
    allowance = Allowance(max_decoded_bytes(len(data)) if max_bytes is None else max_bytes)
    if data.startswith(per_group.MAGIC):
        return per_group.read(data, allowance)
    if data.startswith(per_stream.VERSION):
        return per_stream.read(data, allowance)
    content = as_dict(read_archive(unwrap(data, allowance)), "the archive")
    if content.keys() == {"payload"}:
        return torch_lzma.read(as_dict(content["payload"], "payload"), torch_lzma.form_of(data))
    shuffled = byte_shuffle.NAME_XZ if data.startswith(XZ_MAGIC) else byte_shuffle.NAME
    return _read_saved(content, allowance, shuffled)


def _read_saved(content: dict[str, Any], allowance: Allowance, shuffled: str) -> Container:
    """Tell other formats inside ``torch.save`` by their keys; ``shuffled`` is PR 1934's."""
    if rans_archive.FORMAT_KEY in content:
        return rans_archive.read(content, allowance)
    if content.keys() != {"w", "m"}:
        raise CorruptError(f"an archive with the keys {sorted(content)!s:.100} is no known format")
    entries, meta = as_dict(content["w"], "w").copy(), as_dict(content["m"], "m")
    gptq = any(isinstance(line, str) and " (" in line for line in meta.values())
    if gptq:
        return byte_shuffle.read(entries, meta, name=shuffled)
    return torch_zstd.read(entries, meta)


def write_container(container: Container, name: str, *, file_name: str = "archive") -> bytes:
    """
    Write a container in one of the formats.

    Args:
        container: The content.
        name: One of :data:`FORMATS`.
        file_name: Under which it will be saved; one format has it inside.

    Returns:
        The whole file.

    Raises:
        UsageError: There is no such format, it cannot hold a tensor, or it needs the
            program ``lrzip``, and that is missing.

    """
    if name not in FORMATS:
        raise UsageError(f"unknown format {name!r}{nearest(name, FORMATS)}")
    return FORMATS[name].write(container, file_name)
