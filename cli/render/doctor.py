"""The output of ``artpack doctor``."""

from collections.abc import Iterator

import artpack

from .tables import aligned, show


def report(result: "artpack.DoctorReport", *, as_json: bool) -> None:
    """Print what an installation has."""
    show(result.to_json(), aligned([*_lines(result)]), as_json=as_json)


def _lines(result: "artpack.DoctorReport") -> Iterator[tuple[str, str]]:
    yield "artpack", f"{result.artpack}, Python {result.python}"
    yield "platform", f"{result.platform}, {result.cores} cores"
    for device in result.devices:
        yield "device", f"{device.name}, {device.memory_bytes / 1e9:.1f} GB"
    for name, path in result.programs.items():
        yield "program", f"{name}: {path or 'not there; only some imported files need it'}"
    for package in result.packages:
        missing = f"not there: pip install 'artpack[{package.extra}]'"
        lacking = missing if package.extra else "MISSING"
        yield "package", f"{package.name} {package.version or lacking}"
    for what, folder in result.caches.items():
        yield what, folder or "no place for them: each process compiles for itself"
    yield from _checks(result)


def _checks(result: "artpack.DoctorReport") -> Iterator[tuple[str, str]]:
    for check in result.checks:
        if check.fault:
            outcome = "not tried" if check.passed is None else "FAILED"
            yield "self-test", f"{check.kind} {check.name} {outcome}: {check.fault}"
    good = sum(check.passed is True for check in result.checks)
    outcome = "passed" if result.passed else "FAILED"
    yield (
        "self-test",
        (f"{outcome}: {good} of {len(result.checks)} decoders work, {result.seconds:.1f} s"),
    )
