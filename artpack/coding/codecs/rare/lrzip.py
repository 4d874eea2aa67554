"""
The format of the program ``lrzip``, for artifacts that others made.

No default recipe uses it: it needs a system binary where :class:`Zpaq` does the
same in process and in fewer bytes. An archive carries a program that ``lrzip``
runs, so decoding happens in a process of its own with limits on memory, file
size and time, in a private folder that is gone afterwards. The limits are set
by ``prlimit``, which unlike a hook between fork and exec is safe under threads.

Source: lrzip 0.651, archive format 0.6.
"""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

from artpack.coding.codecs.exact import check_size
from artpack.errors import CorruptError, TruncatedError, UsageError
from artpack.stages import ConfiguredStage
from artpack.system.atomic import write_atomically

# Magic, version, then the decoded size; the flag of encryption is the 23rd byte.
_MAGIC = b"LRZI\x00\x06"
_SIZE_FIELD = slice(6, 14)
_ENCRYPTED = 22
_HEADER_BYTES = 24

# Threads and memory decide how lrzip cuts the data, so both are fixed.
_DETERMINISTIC = ("-p", "1", "-m", "20")
_QUIET = ("-Q", "-N", "0")


@dataclass(frozen=True)
class Lrzip(ConfiguredStage):
    """
    A whole archive as ``lrzip -z`` writes it: ZPAQ behind a search for long matches.

    Attributes:
        level: 1 to 9, as for ``lrzip -L``.
    """

    stage_id: ClassVar[str] = "lrzip"
    level: int = 9

    def __post_init__(self) -> None:
        if not 1 <= self.level <= 9:
            raise UsageError(f"lrzip: level must be 1 to 9, got {self.level}")

    def encode(self, data: bytes) -> bytes:
        """
        Compress.

        Args:
            data: Any bytes.

        Returns:
            One archive, the same on every machine with this version of lrzip.

        Raises:
            UsageError: The binaries are missing, or lrzip failed.

        """
        options = ("-z", "-L", str(self.level), *_DETERMINISTIC)
        archive = _run_lrzip(options, data, size=len(data), max_bytes=2 * len(data) + 1024)
        if archive is None:
            raise UsageError("lrzip: the program failed; try it by hand, or take another codec")
        return archive

    def decode(self, data: bytes, *, size: int) -> bytes:
        """
        Decompress an archive that lrzip wrote from a file.

        Args:
            data: One archive, of whatever level or backend, not encrypted.
            size: Number of bytes before encoding.

        Returns:
            ``size`` bytes.

        Raises:
            TruncatedError: The archive ends within its header.
            CorruptError: It is not one such archive, or holds another number of bytes.
            UsageError: The binaries are missing.

        """
        _check_header(data, size=size)
        decoded = _run_lrzip(("-d", "-p", "1"), data, size=size, max_bytes=size)
        if decoded is None:
            raise CorruptError(f"{self.stage_id}: the program cannot read this archive")
        return check_size(decoded, size=size, stage_id=self.stage_id)


def _check_header(data: bytes, *, size: int) -> None:
    if len(data) < _HEADER_BYTES:
        raise TruncatedError(f"lrzip: an archive of {len(data)} bytes has no header")
    if not data.startswith(_MAGIC):
        raise CorruptError("lrzip: not an archive of format 0.6")
    if data[_ENCRYPTED]:
        raise CorruptError("lrzip: encrypted archives cannot be read")
    if int.from_bytes(data[_SIZE_FIELD], "little") != size:
        raise CorruptError(f"lrzip: the archive does not state {size} bytes")
    # The program stops after the first of several archives without a word.
    if _MAGIC in data[1:]:
        raise CorruptError("lrzip: a second archive follows the first")


def _run_lrzip(options: tuple[str, ...], data: bytes, *, size: int, max_bytes: int) -> bytes | None:
    """Return what lrzip makes of the data; None if it fails or makes more than ``max_bytes``."""
    limits = (f"--as={(2 << 30) + 4 * size}", f"--fsize={max_bytes}", "--core=0")
    timeout_seconds = 60 + size / 50_000  # it does 180,000 bytes a second on a busy core
    prlimit, lrzip = _binary("prlimit", "util-linux"), _binary("lrzip", "lrzip")
    with TemporaryDirectory(prefix="artpack-lrzip-") as name:
        source, target = Path(name, "in"), Path(name, "out")
        write_atomically(source, [data])
        try:
            result = subprocess.run(  # noqa: S603 - whole paths, no shell, none of it input
                [prlimit, *limits, lrzip, *options, *_QUIET, "-o", str(target), str(source)],
                env={"LRZIP": "NOCONFIG", "TMP": name, "TMPDIR": name},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=timeout_seconds,
                start_new_session=True,  # no terminal to ask for a password
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
        if result.returncode or not target.is_file() or target.stat().st_size > max_bytes:
            return None
        return target.read_bytes()


def _binary(name: str, package: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise UsageError(
            f"lrzip: the program {name} is missing: install the Debian package {package}"
        )
    return path
