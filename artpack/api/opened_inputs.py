"""Inputs of a packed file, opened and read: weights, their model, and a calibration."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from artpack.api.find_model import describe_model, find_runnable
from artpack.api.graph_data import UNIT, GraphRun, Replacements, start_graph
from artpack.api.inputs import CompressInputs
from artpack.api.learning import Shares, share_out
from artpack.api.runnable import Runnable
from artpack.api.running import Running, collect, start
from artpack.api.sources import Opened, check_device
from artpack.artifact.carried import pack_files
from artpack.artifact.format import CHECKSUM_BYTES
from artpack.calibration.collect import CALIBRATION
from artpack.calibration.file import (
    Calibration,
    hash_calibration,
    read_calibration,
    write_calibration,
)
from artpack.checkpoint.selection import select
from artpack.errors import UsageError
from artpack.graphs import Graph
from artpack.pack.origin import Options
from artpack.pack.packer import PackInputs
from artpack.runners.batches import TokenBatches
from artpack.runners.divergence import Divergence
from artpack.runners.frozen import gradients
from artpack.runners.protocol import Runner
from artpack.runners.settings import Settings
from artpack.stages import Config
from artpack.stages.progress import Progress
from artpack.system.atomic import check_writable


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
        opened, known, running, shares = (
            (source, drawn.calibration, None, None)
            if drawn is not None
            else _with_data(inputs, source, model, progress)
        )
        selection = select(opened.checkpoint, include=inputs.include, exclude=inputs.exclude)
        pack = PackInputs(
            opened.checkpoint,
            selection,
            model=found.stored,
            provenance=dict(opened.provenance),
            options=_options(inputs),
            files=pack_files({**found.files, **(inputs.files or {})}),
            device=inputs.device,
            jobs=inputs.jobs,
            run_folder=inputs.run_folder,
        )
        if known is not None:
            pack = _calibrated(pack, known, _file(inputs.calibration))
        if drawn is not None and drawn.run is not None:
            pack = _measured(pack, drawn.run, progress)
        if running is not None and shares is not None:
            pack = _runnable(pack, running, shares, inputs)
        more = () if known is None else known.notes
        own = (*opened.checkpoint.notes, *found.notes, *(running.notes if running else ()))
        yield OpenedInputs(opened, model, pack, tuple(dict.fromkeys((*own, *more))))


def _with_data(
    inputs: CompressInputs, opened: Opened, model: Runnable | None, progress: Progress | None
) -> tuple[Opened, Calibration | None, Running | None, Shares | None]:
    """Read or collect a calibration; return the weights as it sees them, and what is run."""
    if inputs.calibration_tokens is not None and inputs.calibration_batches is not None:
        raise UsageError("`calibration_tokens` and `calibration_batches`: give one of them")
    if not inputs.data.given:
        known = _stored(inputs)
        if known is not None:
            opened = oriented(opened, known)
        return opened, _fitting(known, opened, model, inputs), None, None
    if model is None:
        raise UsageError(
            "nothing to run `calibration_tokens` or `calibration_batches` with: say the model"
            " with `model`, or give the module itself"
        )
    check_device(inputs.device)
    settings = replace(CALIBRATION, device=inputs.device)
    shares = share_out(model, inputs.data, inputs.learning, settings)
    batches, runner = shares.calibrated, model.build(opened.checkpoint, inputs.device)
    running = start(
        opened,
        model,
        runner,
        batches,
        loss=inputs.loss,
        device=inputs.device,
        notes=shares.notes,
    )
    made = partial(
        collect,
        running,
        settings=settings,
        jobs=inputs.jobs,
        run_folder=inputs.run_folder,
        progress=progress,
    )
    known = _read_or_collect(inputs, running.opened, runner, batches.sha256, made)
    return running.opened, known, running, shares


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
    if inputs.calibration_batches is None:
        return _Drawn(_fitting(_stored(inputs), opened, None, inputs))
    run = start_graph(opened.checkpoint, graph, inputs.calibration_batches)
    known = _read_or_collect(
        inputs, opened, None, run.batches_sha256, partial(run.collect, progress)
    )
    return _Drawn(known, run)


def _measured(pack: PackInputs, run: GraphRun, progress: Progress | None) -> PackInputs:
    """Add what measures the losses of a graph."""
    loss = run.loss()
    probe = Replacements(run.weights, loss, progress)
    data = run.batches_sha256
    return replace(pack, loss=loss, loss_unit=UNIT, curvature=probe, data_sha256=data)


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


def _stored(inputs: CompressInputs) -> Calibration | None:
    """Return the calibration that was given, from its file if it lies in one."""
    given = inputs.calibration
    if given is None or isinstance(given, Calibration):
        return given
    return read_calibration(Path(given))


def _fitting(
    known: Calibration | None,
    opened: Opened,
    model: Runnable | Runner | None,
    inputs: CompressInputs,
) -> Calibration | None:
    """Return a calibration, if there is one, checked to be for these weights."""
    if known is not None:
        check_fits(known, opened, model, _file(inputs.calibration))
    return known


def _read_or_collect(
    inputs: CompressInputs,
    opened: Opened,
    model: Runnable | Runner | None,
    data_sha256: str,
    made: Callable[[], Calibration],
) -> Calibration:
    """Return the calibration that was given, or one that is made, and kept if there is a file."""
    file = _file(inputs.calibration)
    if file is not None and not file.exists():
        check_writable(file)
        known = made()
        write_calibration(file, known)
        return known
    found = _fitting(_stored(inputs), opened, model, inputs)
    if found is None:
        return made()
    if found.fingerprint.get("tokens_sha256") != data_sha256:
        raise UsageError(
            f"{file or 'calibration'}: the calibration is for other data: leave"
            " `calibration_tokens` and `calibration_batches` out"
        )
    return found


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
        if file is None:  # what lies in a file was checked as it was read
            calibration.check()
        calibration.check_fit(
            {info.name: info.shape for info in checkpoint.tensors},
            weights_sha256=checkpoint.weights_sha256,
            model_sha256=None if model is None else model.fingerprint,
        )
    except UsageError as error:
        raise UsageError(f"{file}: {error}" if file else str(error)) from None


def _calibrated(pack: PackInputs, known: Calibration, file: Path | None) -> PackInputs:
    numbers = hash_calibration(replace(known, fingerprint={}))
    told = known.fingerprint | {"checksum": numbers[: 2 * CHECKSUM_BYTES]}
    provenance: Config = pack.provenance | {"calibration": told}
    kept = None if file is None else sensitivities_file(file)
    return replace(pack, calibration=known, provenance=provenance, sensitivities_file=kept)


def _options(inputs: CompressInputs) -> Options:
    """Return what a file says of what was asked; the packer knows more."""
    return Options(
        include=inputs.include,
        exclude=inputs.exclude,
        key=inputs.key,
        strip_prefix=inputs.strip_prefix,
        dequantize=inputs.dequantize,
        tokenizer_files=inputs.tokenizer_files,
        files=tuple(sorted(inputs.files or {})),
        loss=inputs.loss if isinstance(inputs.loss, str) else None,
    )


def _runnable(
    pack: PackInputs, running: Running, shares: Shares, inputs: CompressInputs
) -> PackInputs:
    """Add what measures losses on some of the batches, and learns on others."""
    device, learning, options = inputs.device, inputs.learning, pack.options
    if learning is not None:
        learned = shares.learned.sha256
        options = replace(options, learning_loss=learning.loss, learned_sha256=learned)
    settings = Settings(device=device)
    loss = Divergence(running.runner, shares.measured, running.places, settings=settings)
    unit, whole = running.runner.loss.unit, running.batches
    assert pack.calibration is not None
    outputs = pack.calibration.tokens
    if unit == "nats" and isinstance(whole, TokenBatches) and outputs == whole.windows.size:
        unit = "nats per token"
    return replace(
        pack,
        options=options,
        loss=loss,
        loss_unit=unit,
        objective=shares.objective(running, device),
        data_sha256=shares.sha256,
    )


def sensitivities_file(calibration: Path) -> Path:
    """Return where the sensitivities that belong to a calibration are kept."""
    return calibration.with_name(calibration.name + ".sensitivities.json")
