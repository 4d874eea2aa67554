"""The job of ``artpack.compare``: files of one model side by side."""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from artpack.api.compared_source import ComparedSource, open_compared
from artpack.api.eval_options import WindowOptions
from artpack.api.eval_result import EvalResult
from artpack.api.eval_tokens import ScoredTokens, Tokenizer
from artpack.api.evaluate import evaluate
from artpack.artifact.describe import role_of
from artpack.artifact.verify import distance
from artpack.errors import UsageError
from artpack.evaluation.scoring.score import Comparison
from artpack.evaluation.scoring.summary import Score
from artpack.runners.settings import Settings
from artpack.stages.progress import Progress

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class ComparedRow:
    """
    A tensor, or all tensors of a role, in each file.

    Attributes:
        name: Of the tensor; of a role, with ``#`` for numbers.
        weights: How many it holds.
        bytes: Its bytes in each file; None where a file lacks it.
        errors: Its relative error in each: the norm of what differs from the reference over the
            reference's; None where it cannot be compared.
        grids: Labels of what its weights stand for in each, a dtype in checkpoints; of a role,
            empty.
    """

    name: str
    weights: int
    bytes: tuple[int | None, ...]
    errors: tuple[float | None, ...]
    grids: tuple[str | None, ...] = ()

    @property
    def bits_per_weight(self) -> tuple[float | None, ...]:
        """Stored bits for each weight in each file; 0 without weights."""
        return tuple(
            None if size is None else 8 * size / max(1, self.weights) for size in self.bytes
        )


@dataclass(frozen=True)
class ComparedFile:
    """
    A file as a whole.

    Attributes:
        name: Its path.
        file_bytes: Its size; of a folder, that of its files of weights.
        other_bytes: What of it belongs to no tensor.
        weights: Number of weights.
        error: Relative error of all tensors together; None where nothing can be compared.
        score: Loss and bits per byte, if tokens were given.
        comparison: With the reference's score, if tokens were given; None of the reference.
    """

    name: str
    file_bytes: int
    other_bytes: int
    weights: int
    error: float | None
    score: Score | None = None
    comparison: Comparison | None = None

    @property
    def bits_per_weight(self) -> float:
        """Bits of the whole file for each weight; 0 without weights."""
        return 8 * self.file_bytes / max(1, self.weights)


@dataclass(frozen=True, repr=False)
class CompareResult:
    """
    Files of one model side by side.

    Attributes:
        reference: What errors and losses are against.
        files: In the order given.
        roles: Tensors whose names differ by numbers alone, together; the largest first.
        tensors: In the order of the files.
        notes: What was decided on the way, one line each.
    """

    reference: str
    files: tuple[ComparedFile, ...]
    roles: tuple[ComparedRow, ...]
    tensors: tuple[ComparedRow, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as data that JSON can carry."""
        return {
            "reference": self.reference,
            "files": [
                {**asdict(one), "bits_per_weight": one.bits_per_weight} for one in self.files
            ],
            **{
                kind: [{**asdict(row), "bits_per_weight": row.bits_per_weight} for row in rows]
                for kind, rows in (("roles", self.roles), ("tensors", self.tensors))
            },
            "notes": list(self.notes),
        }

    def __repr__(self) -> str:
        sizes = ", ".join(f"{one.name} {one.file_bytes:,} bytes" for one in self.files)
        return f"<CompareResult against {self.reference}: {sizes}>"


def compare(
    sources: Sequence[PathLike],
    *,
    reference: PathLike | None = None,
    tokens: ScoredTokens | None = None,
    tokenizer: Tokenizer | None = None,
    windows: WindowOptions | None = None,
    settings: Settings | None = None,
    progress: Progress | None = None,
) -> CompareResult:
    """
    Put files of one model side by side: bytes, bits, errors and scores.

    Args:
        sources: Artifacts, checkpoints, folders of Hugging Face, GGUF files.
        reference: What errors and losses are against; by default the first source.
        tokens: Score every file on them, as ``artpack.evaluate`` takes them.
        tokenizer: The SentencePiece model of the tokens, where they need one.
        windows: What of the tokens is run and scored.
        settings: Device, precision and batch size of the runs.
        progress: Told how far it is.

    Returns:
        Everything that was found. Tensors are compared under the names of the model, banks in
        one piece; a tie costs no bytes.

    Raises:
        ArtifactError: An artifact is damaged.
        CheckpointError: A checkpoint is not usable.
        UsageError: There is nothing to compare with, or no model to score.

    """
    paths = [Path(source) for source in sources]
    if len(paths) < 2 - (reference is not None):
        raise UsageError("`sources`: two files are compared, or one and a `reference`")
    against = Path(sources[0] if reference is None else reference)
    # First, as it finds out soonest what is missing.
    found: list[dict[str, Any]] = []
    if tokens is not None:
        run = partial(
            evaluate,
            tokens=tokens,
            tokenizer=tokenizer,
            windows=windows,
            settings=settings,
            progress=progress,
        )
        found = _scores(paths, against, run)
    with ExitStack() as stack:
        opened = [stack.enter_context(open_compared(path)) for path in paths]
        same = [one for one, path in zip(opened, paths, strict=True) if path == against]
        known = same[0] if same else stack.enter_context(open_compared(against))
        parts = list(_parts(opened, known, progress))
        notes = tuple(dict.fromkeys(note for one in opened for note in one.notes))
    roles: dict[str, list[_Part]] = {}
    for part in parts:
        roles.setdefault(role_of(part.name), []).append(part)
    rows = [_row(name, members) for name, members in roles.items()]
    return CompareResult(
        reference=str(against),
        files=tuple(_files(opened, parts, found)),
        roles=tuple(sorted(rows, key=lambda row: -max(size or 0 for size in row.bytes))),
        tensors=tuple(_row(part.name, [part], part.grids) for part in parts),
        notes=(*notes, *_unmatched(parts, str(against))),
    )


@dataclass(frozen=True)
class _Part:
    """A tensor in each file; ``squares`` are those of its error and of the reference's norm."""

    name: str
    weights: int
    bytes: tuple[int | None, ...]
    grids: tuple[str | None, ...]
    squares: tuple[tuple[float, float] | None, ...]


def _parts(
    opened: Sequence[ComparedSource], known: ComparedSource, progress: Progress | None
) -> Iterator[_Part]:
    # What costs bytes nowhere is a tie everywhere, or empty.
    costly = (name for one in opened for name, size in one.sizes.items() if size)
    names = dict.fromkeys(costly)
    for done, name in enumerate(names, 1):
        original = known.read(name) if name in known.names else None
        squares: list[tuple[float, float] | None] = []
        weights = 0 if original is None else original.numel()
        for one in opened:
            tensor = one.read(name) if name in one.names else None
            weights = weights or (0 if tensor is None else tensor.numel())
            if tensor is None or original is None or tensor.shape != original.shape:
                squares.append(None)
            else:
                off, size, _ = distance(tensor, original)
                squares.append((off**2, size**2))
        sizes = tuple(one.sizes.get(name) for one in opened)
        grids = tuple(one.grids.get(name) for one in opened)
        yield _Part(name, weights, sizes, grids, tuple(squares))
        if progress is not None:
            progress("comparing", done, len(names), name)


def _row(name: str, parts: Sequence[_Part], grids: tuple[str | None, ...] = ()) -> ComparedRow:
    sizes = zip(*(part.bytes for part in parts), strict=True)
    return ComparedRow(
        name,
        sum(part.weights for part in parts),
        tuple(_sum(column) for column in sizes),
        tuple(_error(column) for column in zip(*(part.squares for part in parts), strict=True)),
        grids,
    )


def _sum(sizes: Iterable[int | None]) -> int | None:
    there = [size for size in sizes if size is not None]
    return sum(there) if there else None


def _error(squares: Iterable[tuple[float, float] | None]) -> float | None:
    there = [pair for pair in squares if pair is not None]
    if not there:
        return None
    off, size = (math.sqrt(math.fsum(column)) for column in zip(*there, strict=True))
    return off / size if off and size else off


def _files(
    opened: Sequence[ComparedSource],
    parts: Sequence[_Part],
    scores: Sequence[Mapping[str, Any]],
) -> Iterator[ComparedFile]:
    for i, one in enumerate(opened):
        own = [part for part in parts if part.bytes[i] is not None]
        yield ComparedFile(
            name=one.name,
            file_bytes=one.file_bytes,
            other_bytes=one.file_bytes - sum(one.sizes.values()),
            weights=one.weights,
            error=_error(part.squares[i] for part in own),
            **(scores[i] if scores else {}),
        )


def _scores(
    paths: Sequence[Path], against: Path, run: Callable[..., EvalResult]
) -> list[dict[str, Any]]:
    """Score each file beside the reference, whose own score comes with those."""
    results = {path: run(path, baseline=against) for path in paths if path != against}
    found = {
        path: {"score": one.score, "comparison": one.comparison} for path, one in results.items()
    }
    beside = [one.comparison for one in results.values() if one.comparison is not None]
    if against in paths:
        alone = beside[0].baseline if beside else run(against).score
        found[against] = {"score": alone, "comparison": None}
    return [found[path] for path in paths]


def _unmatched(parts: Sequence[_Part], reference: str) -> Iterator[str]:
    lost = [part.name for part in parts if all(pair is None for pair in part.squares)]
    if lost:
        more = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        yield f"not in {reference} with that name and shape: {lost[0]!r}{more}"
