"""What a search has found so far, kept in a run folder: numbers and files."""

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from artpack.artifact.reader import Artifact, open_artifact
from artpack.errors import ArtpackError
from artpack.pack.compress import Packed
from artpack.pack.learning_state import NAME, LearningState
from artpack.pack.prepare import Prepared
from artpack.quantize.error_report import Report
from artpack.stages import Config
from artpack.system.run_folder import RunFolder


@dataclass(frozen=True, eq=False)
class SearchRecord:
    """
    What a search has found, each thing kept as soon as it is known.

    Attributes:
        run: Where it is kept; None for nowhere.
        inputs: All that it follows from, but for the step.
    """

    run: RunFolder | None
    inputs: Config

    def draft(self, log2_step: float, measure: Callable[[], int]) -> int:
        """Return about how large a file is at a step, or find it."""
        return int(self._number("draft", log2_step.hex(), measure))

    def loss(self, packed: Packed, measure: Callable[[Packed], float]) -> float:
        """Return what a file loses, or measure it."""
        return self._number("loss", packed.sha256, lambda: measure(packed))

    def _number(self, kind: str, at: str, measure: Callable[[], float]) -> float:
        found: float = self._json(kind, at, measure, _is_number)
        return found

    def costs(self, measure: Callable[[], dict[str, float]]) -> dict[str, float]:
        """Return the sensitivities that were measured, or measure them."""
        found: dict[str, float] = self._json("sensitivities", "", measure, _are_costs)
        return found

    def _json(
        self, kind: str, at: str, measure: Callable[[], Any], fits: Callable[[Any], bool]
    ) -> Any:
        if self.run is None:
            return measure()
        inputs, started = self._at(at), time.monotonic()
        found = self.run.find_json(kind, inputs)
        if fits(found):
            return found
        measured = measure()
        self.run.keep_json(kind, inputs, measured, seconds=time.monotonic() - started)
        return measured

    def file(self, log2_step: float | None, make: Callable[[], Packed]) -> Packed:
        """
        Return the file at a step, or make it.

        Args:
            log2_step: Logarithm of the step to base 2; None for a recipe whose steps are fixed.
            make: Makes it.

        Returns:
            The file.

        """
        if self.run is None:
            return make()
        inputs = self._at("" if log2_step is None else log2_step.hex())
        started, file = time.monotonic(), self.run.find("file", inputs)
        known = None if file is None else _read(file)
        if known is not None:
            return known
        packed = make()
        seconds = time.monotonic() - started
        self.run.keep("file", inputs, lambda: _content(packed), seconds=seconds)
        self.run.drop(NAME, inputs)
        return packed

    def learning(self, log2_step: float) -> LearningState:
        """Return what keeps what weights learn on the way to the file at a step."""
        return LearningState(self.run, self._at(log2_step.hex()))

    def _at(self, at: str) -> Config:
        return {**self.inputs, "at": at}


UNRECORDED = SearchRecord(None, {})


def _is_number(found: Any) -> bool:
    return type(found) in (int, float) and math.isfinite(found)


def _are_costs(found: Any) -> bool:
    return isinstance(found, Mapping) and all(
        _is_number(cost) and cost > 0 for cost in found.values()
    )


def _content(packed: Packed) -> Iterator[bytes]:
    """Give what a file does not say of itself in one line, and then the file."""
    reports = {
        name: None if one.report is None else asdict(one.report)
        for name, one in packed.prepared.items()
    }
    about = {
        "unused_rules": packed.unused_rules,
        "portable_price": packed.portable_price,
        "reports": reports,
    }
    yield json.dumps(about).encode() + b"\n"
    yield from packed.pieces


def _read(file: Path) -> Packed | None:
    """Return a file that was kept; None if it cannot be that."""
    try:
        line, _, content = file.read_bytes().partition(b"\n")
        about = json.loads(line)
        unused, price = about["unused_rules"], about["portable_price"]
        if type(price) is not int or not all(isinstance(name, str) for name in unused):
            return None
        with open_artifact(content) as artifact:
            records = artifact.header.records
            packed = Packed(
                artifact.header,
                streams=tuple(artifact.stored_stream(s) for s in range(len(records))),
                files=artifact.stored_files,
                unused_rules=tuple(unused),
                portable_price=price,
                skipped=0,
                prepared=_prepared(artifact, about["reports"]),
            )
        return packed if packed.content() == content else None
    except (ArtpackError, OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def _prepared(artifact: Artifact, reports: Any) -> dict[str, Prepared]:
    """Return the tensors that were quantized before they were packed."""
    quantizers = {tensor.name: tensor.quantizer for tensor in artifact.header.plan.tensors}
    return {
        name: Prepared(quantizers[name], artifact.quantized(name), _report(given))
        for name, given in reports.items()
    }


def _report(given: Any) -> Report | None:
    if given is None:
        return None
    notes = tuple(given.pop("notes"))
    optional = {field.name for field in fields(Report) if field.default is None}
    numbers = [one for name, one in given.items() if one is not None or name not in optional]
    if not all(map(_is_number, numbers)) or not all(isinstance(note, str) for note in notes):
        raise TypeError
    return Report(**given, notes=notes)
