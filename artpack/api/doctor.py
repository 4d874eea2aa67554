"""The job of ``artpack.doctor``: what an installation has, and whether its decoders work."""

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Any

import torch

from artpack.api.self_test import DecoderCheck, check_decoders
from artpack.system.jit import cache_folder
from artpack.system.workers import cores
from artpack.version import __version__

PROGRAMS = {
    "lrzip": "reads and writes the lrzip streams of other people's artifacts",
    "prlimit": "keeps lrzip within limits",
}
"""Programs that only some files need."""

DEVELOPMENT = ("dev", "docs")
"""Extras that nobody needs to use artpack."""

_REQUIREMENT = re.compile(r"""(?P<name>[\w.-]+)(?:.*extra == ["'](?P<extra>[\w-]+)["'])?""")


@dataclass(frozen=True)
class Package:
    """
    A package that artpack uses.

    Attributes:
        name: As it is installed.
        version: None if it is not there.
        extra: The extra of artpack that brings it; empty for what artpack always needs.
    """

    name: str
    version: str | None
    extra: str


@dataclass(frozen=True)
class Device:
    """
    Something that models can run on.

    Attributes:
        name: ``cpu``, or the name of a GPU.
        memory_bytes: How much it has.
    """

    name: str
    memory_bytes: int


@dataclass(frozen=True)
class DoctorReport:
    """
    What an installation has, and whether its decoders work.

    Attributes:
        artpack: Its version.
        python: The interpreter's.
        platform: The machine and its system.
        cores: How many this process may use.
        devices: What models can run on, the CPU first.
        packages: What artpack needs, and then what some inputs need.
        programs: Optional programs and where they are; None if they are missing.
        caches: Kinds of files and the folders they are kept in; None if there is no place.
        checks: The self-test, decoder by decoder.
        seconds: How long that took.
    """

    artpack: str
    python: str
    platform: str
    cores: int
    devices: tuple[Device, ...]
    packages: tuple[Package, ...]
    programs: dict[str, str | None]
    caches: dict[str, str | None]
    checks: tuple[DecoderCheck, ...]

    @property
    def seconds(self) -> float:
        """How long the self-test took."""
        return sum(check.seconds for check in self.checks)

    @property
    def passed(self) -> bool:
        """Whether all that artpack always needs is there and every decoder works."""
        needed = all(one.version for one in self.packages if not one.extra)
        return needed and all(check.passed is not False for check in self.checks)

    def to_json(self) -> dict[str, Any]:
        """Return what JSON has of it."""
        return {"passed": self.passed, **asdict(self), "seconds": self.seconds}


def doctor() -> DoctorReport:
    """
    Look at an installation and try every decoder.

    Returns:
        What was found. The self-test takes a second or two; the first one on a machine
        compiles the kernels, which takes twenty.

    >>> doctor().passed
    True

    """
    return DoctorReport(
        artpack=__version__,
        python=platform.python_version(),
        platform=platform.platform(),
        cores=cores(),
        devices=tuple(_devices()),
        packages=tuple(_packages()),
        programs={name: shutil.which(name) for name in PROGRAMS},
        caches={"compiled kernels": cache_folder(), "temporary files": tempfile.gettempdir()},
        checks=tuple(check_decoders()),
    )


def _devices() -> Iterator[Device]:
    yield Device("cpu", os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    for index in range(torch.cuda.device_count()):
        found = torch.cuda.get_device_properties(index)
        yield Device(f"cuda:{index}, {found.name}", found.total_memory)


def _packages() -> Iterator[Package]:
    extras: dict[str, str] = {}
    for line in requires("artpack") or ():
        found = _REQUIREMENT.match(line)
        assert found is not None
        name, extra = found["name"], found["extra"] or ""
        # Python itself has what an older one needs a package for.
        needed = "python_version" not in line or _installed(name)
        # Of several extras the last: `hf` brings transformers alone, `gguf` more.
        if needed and extra not in DEVELOPMENT and extras.get(name) != "":
            extras[name] = extra
    for name, extra in extras.items():
        yield Package(name, _installed(name), extra)


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
