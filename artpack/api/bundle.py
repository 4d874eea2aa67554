"""``bundle``: a decoder of one artifact that needs nothing but numpy, or but a C compiler."""

import os
from dataclasses import dataclass
from pathlib import Path

from artpack.artifact.reader import open_artifact
from artpack.errors import ArtpackError, UsageError
from artpack.portable.alone import Decoded, decode_alone, fingerprint
from artpack.portable.bundle import Bundle, make_bundle, make_c_bundle
from artpack.portable.reader import load


@dataclass(frozen=True)
class BundleResult:
    """
    A decoder of one artifact.

    Attributes:
        bundle: Its source.
        artifact_bytes: Size of the artifact.
        test: What the decoder made of it, if it was tested.
    """

    bundle: Bundle
    artifact_bytes: int
    test: Decoded | None


def bundle(
    artifact: str | os.PathLike[str] | bytes,
    *,
    class_name: str | None = None,
    self_test: bool = False,
    c: bool = False,
) -> BundleResult:
    """
    Write a decoder of an artifact, with the stages that it uses and no others.

    It is made of artpack's own decoders. Its ``load(path_or_bytes, *, torch=False)`` needs
    Python 3.11 and numpy, and checks every checksum and hash.

    Args:
        artifact: The file, or its content.
        class_name: Put everything into a class of this name, with ``load`` and ``Error``.
        self_test: Decode the artifact by the decoder alone, in a Python that finds nothing but
            numpy, and compare every tensor bit for bit.
        c: Write one file of C99 instead, which needs the C library alone and gives the same
            tensors. It decodes every artifact whose streams need no library, and so is
            the same for all of them.

    Returns:
        The decoder.

    Raises:
        ArtifactError: The artifact is damaged.
        ArtpackError: The decoder does not do what it should: please report this.
        UsageError: The artifact needs a library; pack it with ``portable``. Or it is to be C, and
            the other options are of Python.
        OSError: It cannot be read.

    """
    if c and (self_test or class_name is not None):
        raise UsageError("`c`: neither `class_name` nor `self_test` goes with it")
    source = artifact if isinstance(artifact, bytes) else Path(artifact)
    with open_artifact(source) as opened:
        header = opened.header
        made = make_c_bundle(header) if c else make_bundle(header, class_name=class_name)
    content = source if isinstance(source, bytes) else source.read_bytes()
    test = _tested(made, content, class_name) if self_test else None
    return BundleResult(made, len(content), test)


def _tested(made: Bundle, content: bytes, class_name: str | None) -> Decoded:
    decoded = decode_alone(made.small, content, class_name)
    wanted = {name: fingerprint(array) for name, array in load(content).items()}
    if decoded.tensors != wanted:
        other = [name for name in wanted if decoded.tensors.get(name) != wanted[name]]
        raise ArtpackError(f"the decoder gives another {other[0]!r}: please report this")
    return decoded
