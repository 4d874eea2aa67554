"""
Runs a model over calibration tokens and collects what its quantizers need to know.

Windows are dealt to ranks batch by batch and the sums are added up over ranks, so
every rank ends with the same calibration. Random numbers belong to positions of the
tokens, not to batches or ranks: neither changes the labels that are drawn.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import numpy as np
import torch
import torch.distributed
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from artpack.calibration.file import Calibration, hash_config
from artpack.calibration.moments import Moments, Sites
from artpack.errors import UsageError
from artpack.evaluate.scoring.forward import Settings
from artpack.evaluate.tokens.shards import Tokens
from artpack.models import GPT
from artpack.models.generate import draw_tokens, generate
from artpack.models.head import TiedHead
from artpack.models.linear import Linear, Table
from artpack.system.ranks import Ranks, sum_over_ranks
from artpack.version import __version__

Progress = Callable[[int, int], None]
"""Called with the tokens run so far and their final number."""

Windows = NDArray[np.int64]
"""Token ids, (windows, tokens)."""

CALIBRATION = Settings(batch_tokens=2048)
"""Few tokens at once: with gradients, lm6m keeps 200 KB of activations a token."""

_POSITIONS_AT_ONCE = 2048
"""Bounds the logits in memory."""

_WRITTEN_AT_ONCE = 16384
"""Tokens whose keys and values are kept: lm6m keeps 8 KB of them a token."""


def cut_windows(ids: Tokens, window_tokens: int, *, limit_tokens: int | None = None) -> Windows:
    """
    Take windows from a stream, spread evenly over it.

    Shards often hold one source after another; the first tokens alone would be one-sided.

    Args:
        ids: The stream, documents one after another.
        window_tokens: Tokens a window; a shorter stream is one shorter window.
        limit_tokens: Take no more tokens than this, but at least one window.

    Returns:
        Windows without overlap, in the stream's order; a rest that fills none is left out.

    Raises:
        UsageError: The stream is empty.

    >>> cut_windows(np.arange(11, dtype=np.uint16), 2, limit_tokens=6).tolist()
    [[0, 1], [2, 3], [6, 7]]

    """
    if not ids.size:
        raise UsageError("there are no tokens to calibrate with")
    window_tokens = min(window_tokens, ids.size)
    there = ids.size // window_tokens
    wanted = there if limit_tokens is None else max(1, min(there, limit_tokens // window_tokens))
    chosen = np.arange(wanted) * there // wanted
    return ids[: there * window_tokens].reshape(there, window_tokens)[chosen].astype(np.int64)


def self_generate(
    model: GPT,
    count: int,
    window_tokens: int,
    *,
    bos_id: int = 1,
    temperature: float = 1.0,
    seed: int = 0,
    progress: Progress | None = None,
) -> Windows:
    """
    Let a model write its own calibration windows, shared among ranks.

    Args:
        model: In evaluation mode.
        count: How many windows.
        window_tokens: Tokens a window.
        bos_id: What every window starts with.
        temperature: Divides the logits, above 0.
        seed: Of the draws; window i is the same whatever the count and the ranks.
        progress: Told after every batch.

    Returns:
        The windows, the same in every rank.

    Raises:
        UsageError: The vocabulary has no such BOS.

    Source: parameter-golf PR 1019.

    """
    if not 0 <= bos_id < model.config.vocab_size:
        raise UsageError(
            f"windows cannot start with id {bos_id}: the vocabulary has {model.config.vocab_size}"
        )
    ranks, windows = Ranks.current(), np.zeros((count, window_tokens))
    at_once = max(1, _WRITTEN_AT_ONCE // window_tokens)
    for low in range(ranks.rank * at_once, count, ranks.world * at_once):
        part = range(low, min(low + at_once, count))
        draws = [np.random.default_rng((seed, i)).random(window_tokens, np.float32) for i in part]
        windows[low : part.stop] = generate(
            model, np.stack(draws), bos_id=bos_id, temperature=temperature
        )
        if progress is not None:
            progress(part.stop * window_tokens, windows.size)
    return sum_over_ranks(windows, device=str(model.tok_emb.weight.device)).astype(np.int64)


def find_gpt_sites(model: GPT) -> Sites:
    """
    Find the maps and tables of a model of the family, by the names they are stored under.

    Args:
        model: Any.

    Returns:
        Every matrix and table. Matrices in banks go by their unbanked names, and the
        output head by that of the token table. Head gates are too small to be listed.

    """
    named = [(f"{name}.weight", module) for name, module in model.named_modules()]
    maps = [(name, module) for name, module in named if isinstance(module, Linear)]
    head = [("tok_emb.weight", module) for _, module in named if isinstance(module, TiedHead)]
    tables = [(name, module) for name, module in named if isinstance(module, Table)]
    return Sites((*maps, *head), tuple(tables))


def collect(
    model: GPT,
    windows: Windows,
    *,
    fisher: bool = True,
    seed: int = 0,
    settings: Settings = CALIBRATION,
    progress: Progress | None = None,
) -> Moments:
    """
    Run a model over windows and sum up its moments over all ranks.

    With ``fisher``, every position draws one label from the model's own distribution,
    and the summed loss of these labels goes back through the model. That is one sample
    of the true Fisher information, not the empirical one of the data's labels.

    Args:
        model: On ``settings.device`` and in evaluation mode.
        windows: What to run; each starts anew.
        fisher: Collect gradients too.
        seed: Of the labels.
        settings: Device, precision and tokens a batch.
        progress: Told after every batch.

    Returns:
        Sums over all windows, the same in every rank.

    """
    rows = max(1, settings.batch_tokens // windows.shape[1])
    draws = np.random.default_rng(seed).random(windows.shape, np.float32) if fisher else None
    ranks, moments = Ranks.current(), Moments()
    with _frozen(model), moments.watch(find_gpt_sites(model)):
        for low in _shares(len(windows), rows, ranks):
            part = slice(low, low + rows)
            ids = torch.from_numpy(windows[part]).to(settings.device)
            _run(model, ids, None if draws is None else draws[part], settings)
            if progress is not None:
                progress(min(low + rows, len(windows)) * windows.shape[1], windows.size)
    if ranks.world > 1:
        idle = ranks.rank * rows >= len(windows)
        _add_over_ranks(moments, counts=not idle)
    return moments


def _shares(count: int, rows: int, ranks: Ranks) -> range:
    """Return where this rank's batches start; one that has none runs the first."""
    # Without a batch it would not know which sums, and of what shapes, it has nothing to add to.
    first = ranks.rank * rows if ranks.rank * rows < count else 0
    return range(first, count if first or not ranks.rank else rows, ranks.world * rows)


def _add_over_ranks(moments: Moments, *, counts: bool) -> None:
    for total in moments.tensors():
        if not counts:
            total.zero_()
        torch.distributed.all_reduce(total)


@contextmanager
def _frozen(model: nn.Module) -> Iterator[None]:
    """Spare the gradients of the weights, which nobody wants."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    model.requires_grad_(requires_grad=False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_()


def _run(model: GPT, ids: Tensor, draws: NDArray[np.float32] | None, settings: Settings) -> None:
    """Run windows (B, T), and if there are draws (B, T), go back from the labels they choose."""
    autocast = torch.autocast(ids.device.type, torch.bfloat16, enabled=settings.precision == "bf16")
    with autocast, torch.set_grad_enabled(draws is not None):
        hidden = model.hidden(ids)
    states = hidden.detach().flatten(0, 1).requires_grad_(draws is not None)
    uniform = None if draws is None else torch.from_numpy(draws).flatten().to(ids.device)
    for low in range(0, len(states), _POSITIONS_AT_ONCE):
        part = slice(low, low + _POSITIONS_AT_ONCE)
        with autocast, torch.set_grad_enabled(uniform is not None):
            logits = model.logits(states[part]).float()
        if uniform is not None:
            labels = draw_tokens(logits.detach(), uniform[part])
            torch.autograd.backward(F.cross_entropy(logits, labels, reduction="sum"))
    if states.grad is not None:
        torch.autograd.backward(hidden, states.grad.view_as(hidden))


def calibrate(
    model: GPT,
    windows: Windows,
    *,
    weights_sha256: str,
    fisher: bool = True,
    seed: int = 0,
    settings: Settings = CALIBRATION,
    progress: Progress | None = None,
) -> Calibration:
    """
    Collect a model's calibration.

    Args:
        model: On ``settings.device`` and in evaluation mode.
        windows: What to run.
        weights_sha256: Hash of its weights, as ``Checkpoint.weights_sha256`` has it.
        fisher: Collect gradients too.
        seed: Of the labels that gradients are taken for.
        settings: Device, precision and tokens a batch.
        progress: Told after every batch.

    Returns:
        The calibration, the same in every rank.

    """
    moments = collect(
        model, windows, fisher=fisher, seed=seed, settings=settings, progress=progress
    )
    tokens = windows.size
    return Calibration(
        hessians=_reached(moments.mean_hessians(tokens)),
        row_information=_reached(moments.mean_rows(tokens)),
        lookup_information=_reached(moments.mean_lookups(tokens)),
        gradients=_reached(moments.mean_gradients(tokens)),
        tokens=tokens,
        fingerprint={
            "artpack": __version__,
            "weights_sha256": weights_sha256,
            "model_sha256": hash_config(model.config.to_json()),
            "tokens_sha256": hash_tokens(windows),
            "settings": {
                "window_tokens": windows.shape[1],
                "fisher": fisher,
                "seed": seed if fisher else None,
                "precision": settings.precision,
            },
        },
    )


def _reached(means: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Leave out what no token reached: nothing is known of it."""
    return {name: mean for name, mean in means.items() if mean.any()}


def hash_tokens(windows: Windows) -> str:
    """Return the SHA-256 of windows, each id as four little-endian bytes, in hexadecimal."""
    return hashlib.sha256(windows.astype("<u4").tobytes()).hexdigest()
