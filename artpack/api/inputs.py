"""Inputs of a packed file: weights, their model, and what is known of the data."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from artpack.api.dequantize import dequantized
from artpack.api.find_model import describe_model, find_runnable
from artpack.api.graph_data import UNIT, GraphRun, Replacements, start_graph
from artpack.api.runnable import DataOptions, Runnable
from artpack.api.running import Running, collect, start
from artpack.api.sources import Opened, WeightSource, check_device, open_source
from artpack.api.tokens import TokenSource
from artpack.artifact.carried import pack_files
from artpack.calibration.collect import CALIBRATION
from artpack.calibration.file import Calibration, read_calibration, write_calibration
from artpack.checkpoint.selection import select
from artpack.errors import UsageError
from artpack.graphs import Graph
from artpack.models import ModelConfig
from artpack.pack.packer import PackInputs
from artpack.runners.batches import TokenBatches
from artpack.runners.distillation import Distillation
from artpack.runners.divergence import Divergence
from artpack.runners.frozen import gradients
from artpack.runners.losses import LossName
from artpack.runners.module import Forward
from artpack.runners.onnx import BatchSource
from artpack.runners.protocol import Runner
from artpack.runners.settings import Settings
from artpack.stages import Config
from artpack.stages.progress import Progress
from artpack.system.atomic import check_writable

MEASURED_TOKENS = 8192
"""Calibration tokens that a sensitivity is measured on; a forward pass for each tensor."""


@dataclass(frozen=True, kw_only=True)
class CompressInputs:
    """
    Which weights are packed, and what is known of the data.

    Attributes:
        source: The weights; a sequence of paths to be averaged.
        key: Where in a file of ``torch.save`` they are.
        strip_prefix: What to take off their names.
        average: ``mean`` or ``ema``, for several checkpoints.
        decay: Of ``ema``: what is kept of the average at each further checkpoint.
        include: Regular expression that must be found in a tensor's name.
        exclude: One that must not.
        model: The weights' model, a config, preset or file; None to find it.
        calibration: What is known of the data, or its file. With ``calibration_tokens``, a
            file that is missing is written.
        calibration_tokens: Calibrate with these tokens.
        calibration_batches: Calibrate with these batches, as the model takes them: a tensor,
            a tuple of arguments, or a mapping of named arguments each. Also arrays by the
            names of arguments, samples along the first axis, or an ``.npz`` file of them.
        loss: What a change of its outputs costs, see :func:`artpack.calibrate`.
        forward: Runs the model, a module, on a batch, and returns its outputs.
        tokenizer: SentencePiece model of these tokens; text needs it.
        device: Where the model runs and quantizers compute.
        jobs: Threads; the bytes do not depend on it.
        files: Small files that the artifact carries besides those of its source's folder:
            relative path to content.
        tokenizer_files: Whether those of the source's tokenizer are among them.
        dequantize: Let transformers turn weights that are quantized already into plain ones.
    """

    source: WeightSource | Sequence[str | os.PathLike[str]]
    key: str | None = None
    strip_prefix: str | None = None
    average: str | None = None
    decay: float | None = None
    include: str = ""
    exclude: str | None = None
    model: ModelConfig | str | None = None
    calibration: Calibration | str | os.PathLike[str] | None = None
    calibration_tokens: TokenSource | None = None
    calibration_batches: BatchSource | Iterable[Any] | None = None
    loss: LossName | None = None
    forward: Forward | None = None
    tokenizer: str | os.PathLike[str] | None = None
    device: str = "cpu"
    jobs: int = 1
    files: Mapping[str, bytes] | None = None
    tokenizer_files: bool = True
    dequantize: bool = False

    @property
    def has_data(self) -> bool:
        """Whether anything will be known of the data."""
        return self.calibration is not None or self.data.given

    @cached_property
    def data(self) -> DataOptions:
        """What the model is run over."""
        return DataOptions(
            tokens=self.calibration_tokens,
            batches=self.calibration_batches,
            tokenizer=self.tokenizer,
        )

    @contextmanager
    def open(self) -> Iterator[Opened]:
        """Open the weights."""
        with (
            dequantized(self.source) if self.dequantize else nullcontext(self.source) as source,
            open_source(
                source,
                key=self.key,
                strip_prefix=self.strip_prefix,
                average=self.average,
                decay=self.decay,
            ) as opened,
        ):
            yield opened

    def source_sha256(self) -> str:
        """Return the hash of the weights' files, in hexadecimal."""
        with self.open() as opened:
            return opened.checkpoint.sha256


@dataclass(frozen=True, eq=False)
class OpenedInputs:
    """
    The same, opened and read.

    Attributes:
        opened: The weights.
        model: How their model is run; None if nobody knows.
        pack: What a packer needs.
        notes: What was decided on the way, one line each.
    """

    opened: Opened
    model: Runnable | None
    pack: PackInputs
    notes: tuple[str, ...]


@contextmanager
def open_inputs(inputs: CompressInputs, progress: Progress | None = None) -> Iterator[OpenedInputs]:
    """
    Open weights, find their model, and read or collect a calibration.

    Args:
        inputs: What is asked for.
        progress: Told how far it is.

    Yields:
        The inputs; the weights are closed afterwards.

    Raises:
        CheckpointError: The weights are not usable.
        UsageError: The calibration is for others, or there is data and no model to run.

    """
    with inputs.open() as source, gradients():
        chosen = select(source.checkpoint, include=inputs.include, exclude=inputs.exclude)
        found = describe_model(source, inputs.model, chosen, tokenizer_files=inputs.tokenizer_files)
        model = find_runnable(source, found, inputs.forward)
        graph = source.checkpoint.graph
        drawn = None if graph is None else _with_graph(inputs, source, graph, progress)
        opened, known, running = (
            (source, drawn.calibration, None)
            if drawn is not None
            else _with_data(inputs, source, model, progress)
        )
        selection = select(opened.checkpoint, include=inputs.include, exclude=inputs.exclude)
        pack = PackInputs(
            opened.checkpoint,
            selection,
            model=found.stored,
            provenance=dict(opened.provenance),
            files=pack_files({**found.files, **(inputs.files or {})}),
            device=inputs.device,
            jobs=inputs.jobs,
        )
        if known is not None:
            pack = _calibrated(pack, known, _file(inputs.calibration))
        if drawn is not None and drawn.run is not None:
            pack = _measured(pack, drawn.run, progress)
        if running is not None:
            pack = _runnable(pack, running, inputs.device)
        more = () if known is None else known.notes
        own = (*opened.checkpoint.notes, *found.notes, *(running.notes if running else ()))
        yield OpenedInputs(opened, model, pack, tuple(dict.fromkeys((*own, *more))))


def _with_data(
    inputs: CompressInputs, opened: Opened, model: Runnable | None, progress: Progress | None
) -> tuple[Opened, Calibration | None, Running | None]:
    """Read or collect a calibration; return the weights as it sees them, and what was run."""
    file = _file(inputs.calibration)
    if inputs.calibration_tokens is not None and inputs.calibration_batches is not None:
        raise UsageError("`calibration_tokens` and `calibration_batches`: give one of them")
    if not inputs.data.given:
        known = read_calibration(file) if file is not None else inputs.calibration
        if known is None:
            return opened, None, None
        assert isinstance(known, Calibration)
        opened = oriented(opened, known)
        check_fits(known, opened, model, file)
        return opened, known, None
    if model is None:
        raise UsageError(
            "nothing to run `calibration_tokens` or `calibration_batches` with: say the model"
            " with `model`, or give the module itself"
        )
    if file is not None and not file.exists():
        check_writable(file)
    check_device(inputs.device)
    settings = replace(CALIBRATION, device=inputs.device)
    batches, notes = model.batches(inputs.data, settings)
    runner = model.build(opened.checkpoint, inputs.device)
    running = start(opened, runner, batches, loss=inputs.loss, device=inputs.device, notes=notes)
    known = _read_or_collect(inputs, running, settings=settings, progress=progress)
    return running.opened, known, running


class _Drawn(NamedTuple):
    """What is known of the inputs of a graph, and what was run."""

    calibration: Calibration | None
    run: GraphRun | None = None


def _with_graph(
    inputs: CompressInputs, opened: Opened, graph: Graph, progress: Progress | None
) -> _Drawn:
    """Read or collect the calibration of an ONNX graph."""
    if inputs.calibration_tokens is not None:
        raise UsageError(
            "`calibration_tokens`: a graph has inputs of its own: give them as"
            " `calibration_batches`"
        )
    file, batches = _file(inputs.calibration), inputs.calibration_batches
    known = inputs.calibration if isinstance(inputs.calibration, Calibration) else None
    if file is not None and (file.exists() or batches is None):
        known = read_calibration(file)
    if known is not None:
        check_fits(known, opened, None, file)
    if batches is None:
        return _Drawn(known)
    if file is not None and known is None:
        check_writable(file)
    run = start_graph(opened.checkpoint, graph, batches)
    if known is None:
        known = run.collect(progress)
        if file is not None:
            write_calibration(file, known)
    elif known.fingerprint.get("tokens_sha256") != run.batches_sha256:
        raise UsageError(
            f"{file or 'calibration'}: the calibration is for other batches:"
            " leave `calibration_batches` out"
        )
    return _Drawn(known, run)


def _measured(pack: PackInputs, run: GraphRun, progress: Progress | None) -> PackInputs:
    """Add what measures the losses of a graph."""
    loss = run.loss()
    probe = Replacements(run.weights, loss, progress)
    return replace(pack, loss=loss, loss_unit=UNIT, curvature=probe)


def oriented(opened: Opened, calibration: Calibration) -> Opened:
    """
    Turn those matrices that a calibration saw from the other side.

    Args:
        opened: The weights.
        calibration: What is known of the data.

    Returns:
        The weights as the calibration has them.

    Raises:
        UsageError: The calibration does not say, or names others.

    """
    named = calibration.fingerprint.get("transposed", [])
    names = opened.checkpoint.names
    if not isinstance(named, list) or any(name not in names for name in named):
        raise UsageError("the calibration is for other weights: collect it again")
    if not named:
        return opened
    turned = opened.checkpoint.oriented([str(name) for name in named])
    return replace(opened, checkpoint=turned)


def _file(calibration: Calibration | str | os.PathLike[str] | None) -> Path | None:
    return (
        None if calibration is None or isinstance(calibration, Calibration) else Path(calibration)
    )


def _read_or_collect(
    inputs: CompressInputs, running: Running, *, settings: Settings, progress: Progress | None
) -> Calibration:
    file = _file(inputs.calibration)
    known = inputs.calibration if isinstance(inputs.calibration, Calibration) else None
    if file is not None and file.exists():
        known = read_calibration(file)
    if known is None:
        known = collect(running, settings=settings, progress=progress)
        if file is not None:
            write_calibration(file, known)
        return known
    check_fits(known, running.opened, running.runner, file)
    if known.fingerprint.get("tokens_sha256") != running.batches.sha256:
        raise UsageError(
            f"{file or 'calibration'}: the calibration is for other data: leave"
            " `calibration_tokens` and `calibration_batches` out"
        )
    return known


def check_fits(
    calibration: Calibration,
    opened: Opened,
    model: Runnable | Runner | None,
    file: Path | None = None,
) -> None:
    """
    Check that a calibration was collected with these weights and this model.

    Args:
        calibration: What is known of the data.
        opened: The weights.
        model: Their model; not compared if it is not known.
        file: Where the calibration comes from, for the message.

    Raises:
        UsageError: It was not.

    """
    checkpoint = opened.checkpoint
    try:
        calibration.check()
        calibration.check_fit(
            {info.name: info.shape for info in checkpoint.tensors},
            weights_sha256=checkpoint.weights_sha256,
            model_sha256=None if model is None else model.fingerprint,
        )
    except UsageError as error:
        raise UsageError(f"{file}: {error}" if file else str(error)) from None


def _calibrated(pack: PackInputs, known: Calibration, file: Path | None) -> PackInputs:
    provenance: Config = pack.provenance | {"calibration": known.fingerprint}
    kept = None if file is None else sensitivities_file(file)
    return replace(pack, calibration=known, provenance=provenance, sensitivities_file=kept)


def _runnable(pack: PackInputs, running: Running, device: str) -> PackInputs:
    """Add what measures losses on some of the batches, and learns on the others."""
    measured, learned = running.batches.split(MEASURED_TOKENS)
    loss = Divergence(running.runner, measured, running.places, settings=Settings(device=device))

    def objective() -> Distillation:
        settings = Settings(device=device, precision="bf16")
        return Distillation(running.runner, learned, running.places, settings=settings)

    unit, whole = running.runner.loss.unit, running.batches
    assert pack.calibration is not None
    outputs = pack.calibration.tokens
    if unit == "nats" and isinstance(whole, TokenBatches) and outputs == whole.windows.size:
        unit = "nats per token"
    return replace(pack, loss=loss, loss_unit=unit, objective=objective)


def sensitivities_file(calibration: Path) -> Path:
    """Return where the sensitivities that belong to a calibration are kept."""
    return calibration.with_name(calibration.name + ".sensitivities.json")
