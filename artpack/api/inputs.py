"""Inputs of a packed file: weights, their model, and what is known of the data."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from artpack.api.calibrate import collect
from artpack.api.carried import find_files
from artpack.api.graph_data import start_graph
from artpack.api.graphs import graph_files, graph_model
from artpack.api.sources import Opened, WeightSource, build_model, open_source
from artpack.api.tokens import TokenSource, choose_window, read_windows
from artpack.artifact.carried import pack_files
from artpack.calibration.collect import CALIBRATION
from artpack.calibration.file import (
    Calibration,
    hash_config,
    read_calibration,
    write_calibration,
)
from artpack.calibration.windows import Windows, hash_tokens
from artpack.checkpoint.repository import CONFIG_NAME
from artpack.checkpoint.selection import Selection, select
from artpack.errors import UsageError
from artpack.graphs import Graph
from artpack.models import GPT, ModelConfig
from artpack.models.defects import as_meant
from artpack.models.find import FoundModel, choose_model
from artpack.models.kinds import transformers_model
from artpack.pack.packer import PackInputs
from artpack.runners.distillation import Distillation
from artpack.runners.divergence import Divergence
from artpack.runners.gpt import GptRunner
from artpack.runners.onnx import BatchSource
from artpack.runners.settings import Settings
from artpack.stages import Config
from artpack.stages.parsing import parse_json
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
        calibration_batches: Calibrate an ONNX graph with these inputs: arrays by their names,
            samples along the first axis, or an ``.npz`` file of them, or batches as the graph
            takes them.
        tokenizer: SentencePiece model of these tokens; text needs it.
        device: Where the model runs and quantizers compute.
        jobs: Threads; the bytes do not depend on it.
        files: Small files that the artifact carries besides those of its source's folder:
            relative path to content.
        tokenizer_files: Whether those of the source's tokenizer are among them.
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
    calibration_batches: BatchSource | None = None
    tokenizer: str | os.PathLike[str] | None = None
    device: str = "cpu"
    jobs: int = 1
    files: Mapping[str, bytes] | None = None
    tokenizer_files: bool = True

    @property
    def has_data(self) -> bool:
        """Whether anything will be known of the data."""
        given = self.calibration, self.calibration_tokens, self.calibration_batches
        return any(one is not None for one in given)

    def open(self) -> AbstractContextManager[Opened]:
        """Open the weights."""
        return open_source(
            self.source,
            key=self.key,
            strip_prefix=self.strip_prefix,
            average=self.average,
            decay=self.decay,
        )

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
        config: Their model, if it is known.
        pack: What a packer needs.
        notes: What was decided on the way, one line each.
    """

    opened: Opened
    config: ModelConfig | None
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
        UsageError: The calibration is for others, or there are tokens and no model.

    """
    with inputs.open() as opened:
        selection = select(opened.checkpoint, include=inputs.include, exclude=inputs.exclude)
        found = _find_model(inputs, opened, selection)
        files, carried, graph = opened.files, tuple[str, ...](), opened.checkpoint.graph
        if graph is not None:
            files = graph_files(graph, selection)
        elif not files and found.other is not None and opened.path is not None:
            files, carried = find_files(opened.path, tokenizer=inputs.tokenizer_files)
        notes = (*opened.checkpoint.notes, *found.packing_notes, *carried)
        pack = PackInputs(
            opened.checkpoint,
            selection,
            model=found.stored,
            provenance=dict(opened.provenance),
            files=pack_files(files | dict(inputs.files or {})),
            device=inputs.device,
            jobs=inputs.jobs,
        )
        if graph is not None:
            data, more = _with_batches(inputs, opened, graph, pack, progress)
        else:
            data, more = _with_data(inputs, opened, found.config, pack, progress)
        yield OpenedInputs(opened, found.config, data, (*notes, *more))


def _find_model(inputs: CompressInputs, opened: Opened, selection: Selection) -> FoundModel:
    """Find the model of the weights; that of a module of transformers says what it is."""
    if opened.checkpoint.graph is not None and inputs.model is None:
        return graph_model(opened.checkpoint.graph)
    if opened.files and inputs.model is None:
        return FoundModel(None, (), transformers_model(parse_json(opened.files[CONFIG_NAME])))
    return choose_model(inputs.model, selection.shapes, opened.path, opened.config)


def _with_batches(
    inputs: CompressInputs,
    opened: Opened,
    graph: Graph,
    pack: PackInputs,
    progress: Progress | None,
) -> tuple[PackInputs, tuple[str, ...]]:
    """Add what is known of the inputs of a graph; return notes, too."""
    if inputs.calibration_tokens is not None:
        raise UsageError(
            "`calibration_tokens`: a graph has inputs of its own: give them as"
            " `calibration_batches`"
        )
    file = _file(inputs.calibration)
    known = inputs.calibration if isinstance(inputs.calibration, Calibration) else None
    if file is not None and (file.exists() or inputs.calibration_batches is None):
        known = read_calibration(file)
    if known is not None:
        check_fits(known, opened, None, file)
    if inputs.calibration_batches is None:
        return (pack, ()) if known is None else (_calibrated(pack, known, file), ())
    if file is not None and known is None:
        check_writable(file)
    run = start_graph(opened.checkpoint, graph, inputs.calibration_batches)
    if known is None:
        known = run.collect(progress)
        if file is not None:
            write_calibration(file, known)
    elif known.fingerprint.get("tokens_sha256") != run.batches_sha256:
        raise UsageError(
            f"{file or 'calibration'}: the calibration is for other batches:"
            " leave `calibration_batches` out"
        )
    return replace(_calibrated(pack, known, file), loss=run.loss()), known.notes


def _with_data(
    inputs: CompressInputs,
    opened: Opened,
    config: ModelConfig | None,
    pack: PackInputs,
    progress: Progress | None,
) -> tuple[PackInputs, tuple[str, ...]]:
    """Add what is known of the data; return notes, too."""
    file = _file(inputs.calibration)
    if inputs.calibration_batches is not None:
        raise UsageError("`calibration_batches` are inputs of an ONNX graph, and this is none")
    if inputs.calibration_tokens is None:
        known = read_calibration(file) if file is not None else inputs.calibration
        if known is None:
            return pack, ()
        assert isinstance(known, Calibration)
        check_fits(known, opened, config, file)
        return _calibrated(pack, known, file), ()
    if config is None:
        raise UsageError("nothing to run `calibration_tokens` with: say the model with `model`")
    if file is not None and not file.exists():
        check_writable(file)
    size, notes = choose_window(None, config, opened.path)
    windows = read_windows(inputs.calibration_tokens, config, size, tokenizer=inputs.tokenizer)
    settings = replace(CALIBRATION, device=inputs.device)
    model = build_model(opened.checkpoint, config, inputs.device)
    known = _read_or_collect(inputs, opened, model, windows, settings=settings, progress=progress)
    pack = _calibrated(pack, known, file)
    return _runnable(pack, model, windows, settings), notes


def _file(calibration: Calibration | str | os.PathLike[str] | None) -> Path | None:
    return (
        None if calibration is None or isinstance(calibration, Calibration) else Path(calibration)
    )


def _read_or_collect(
    inputs: CompressInputs,
    opened: Opened,
    model: GPT,
    windows: Windows,
    *,
    settings: Settings,
    progress: Progress | None,
) -> Calibration:
    file = _file(inputs.calibration)
    known = inputs.calibration if isinstance(inputs.calibration, Calibration) else None
    if file is not None and file.exists():
        known = read_calibration(file)
    if known is None:
        known = collect(opened, model, windows, settings=settings, progress=progress)
        if file is not None:
            write_calibration(file, known)
        return known
    check_fits(known, opened, model.config, file)
    if known.fingerprint.get("tokens_sha256") != hash_tokens(windows):
        raise UsageError(
            f"{file or 'calibration'}: the calibration is for other tokens:"
            " leave `calibration_tokens` out"
        )
    return known


def check_fits(
    calibration: Calibration, opened: Opened, config: ModelConfig | None, file: Path | None = None
) -> None:
    """
    Check that a calibration was collected with these weights and this model.

    Args:
        calibration: What is known of the data.
        opened: The weights.
        config: Their model; not compared if it is not known.
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
            model_sha256=None if config is None else hash_config(as_meant(config).to_json()),
        )
    except UsageError as error:
        raise UsageError(f"{file}: {error}" if file else str(error)) from None


def _calibrated(pack: PackInputs, known: Calibration, file: Path | None) -> PackInputs:
    provenance: Config = pack.provenance | {"calibration": known.fingerprint}
    kept = None if file is None else sensitivities_file(file)
    return replace(pack, calibration=known, provenance=provenance, sensitivities_file=kept)


def _runnable(pack: PackInputs, model: GPT, windows: Windows, settings: Settings) -> PackInputs:
    """Add what measures losses on some of the windows, and learns on the others."""
    runner, banks, measured = GptRunner(model), pack.selection.banks, _measured(windows)
    unseen = np.delete(windows, measured, axis=0)
    spread = windows[measured]
    loss = Divergence(
        runner,
        spread,
        banks=banks,
        settings=replace(settings, batch_tokens=2 * spread.shape[1]),
    )

    def objective() -> Distillation:
        learned = unseen if len(unseen) else windows
        return Distillation(
            runner, learned, banks=banks, settings=replace(settings, precision="bf16")
        )

    return replace(pack, loss=loss, objective=objective)


def _measured(windows: Windows) -> NDArray[np.int64]:
    """Return which windows losses are measured on, at most half of them; none is learned from."""
    count = max(1, min(len(windows) // 2, MEASURED_TOKENS // windows.shape[1]))
    spread: NDArray[np.int64] = np.arange(count) * (len(windows) // count)
    return spread


def sensitivities_file(calibration: Path) -> Path:
    """Return where the sensitivities that belong to a calibration are kept."""
    return calibration.with_name(calibration.name + ".sensitivities.json")
