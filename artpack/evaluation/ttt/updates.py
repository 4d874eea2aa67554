"""The gradient of the loss of some windows, shared among processes."""

import torch
import torch.distributed
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from artpack.evaluation.tokens.shards import Tokens
from artpack.evaluation.ttt.optimizer_steps import clip, optimizer
from artpack.evaluation.ttt.recipe import OptimizerSettings
from artpack.evaluation.ttt.strategy import UpdateStats
from artpack.evaluation.windows.plan import WindowPlan, shard
from artpack.evaluation.windows.row_packing import batches
from artpack.models import GPT
from artpack.runners.settings import Settings
from artpack.system.ranks import Ranks


class Trainer:
    """
    Parameters of a model that learn from windows.

    Args:
        model: On ``settings.device``.
        names: Parameters that learn; all others stay as they are.
        rule: How.
        settings: Device, precision, and how many tokens run at once.
    """

    def __init__(
        self, model: GPT, names: list[str], rule: OptimizerSettings, settings: Settings
    ) -> None:
        self._model, self._rule, self._settings = model, rule, settings
        self.parameters = {name: model.get_parameter(name) for name in names}
        self.optimizer = optimizer(rule, list(self.parameters.values()))

    def update(
        self,
        ids: Tokens,
        plan: WindowPlan,
        rate: float,
        *,
        temperature: float | None = 1.0,
        z_loss: float = 0.0,
    ) -> UpdateStats:
        """
        Take one step down the mean loss of all scored positions of a plan.

        Args:
            ids: The stream that the plan was made for.
            plan: Windows to learn from.
            rate: Learning rate.
            temperature: Divides the logits; None takes the checkpoint's own.
            z_loss: Weight of the squared log-partition.

        Returns:
            What happened.

        """
        parameters = list(self.parameters.values())
        for parameter in parameters:
            parameter.grad = torch.zeros_like(parameter)
        loss = self._backward(ids, plan, temperature, z_loss)
        gradients = [p.grad for p in parameters if p.grad is not None]
        _sum_over_ranks([loss, *gradients])
        norm = nn.utils.get_total_norm(gradients)
        if self._rule.clip_norm is not None:
            factor = clip(norm, self._rule.clip_norm)
            for gradient in gradients:
                gradient.mul_(factor)
        self.optimizer.step(rate)
        for parameter in parameters:
            parameter.grad = None
        return UpdateStats(rate, float(loss), float(norm))

    def _backward(
        self, ids: Tokens, plan: WindowPlan, temperature: float | None, z_loss: float
    ) -> Tensor:
        """Add this process's share to the gradients; return its share of the loss."""
        device, bf16 = torch.device(self._settings.device), self._settings.precision == "bf16"
        rows, count = share_batch_rows(plan, self._settings), plan.coverage().scored
        part = shard(plan, Ranks.current(), batch_rows=rows)
        total = torch.zeros((), device=device)
        for batch in batches(ids, part, batch_rows=rows, device=device):
            with torch.autocast(device.type, torch.bfloat16, enabled=bf16):
                hidden = self._model.hidden(batch.ids, batch.documents)
                raw = self._model.raw_logits(hidden.flatten(0, 1)[batch.positions])
                logits = self._model.cooled(raw, temperature).float()
            loss = F.cross_entropy(logits, batch.targets, reduction="sum")
            if z_loss:
                loss = loss + z_loss * logits.logsumexp(-1).square().sum()
            loss = loss / count
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        return total


def share_batch_rows(plan: WindowPlan, settings: Settings) -> int:
    """
    Return how many rows run at once, so that every process has some.

    Args:
        plan: What runs.
        settings: How many tokens run at once.

    Returns:
        The number of rows.

    """
    rows = int(plan.rows[-1]) + 1 if len(plan.rows) else 1
    return min(settings.batch_rows(plan.row_tokens), -(-rows // Ranks.current().world))


def _sum_over_ranks(tensors: list[Tensor]) -> None:
    if Ranks.current().world > 1:
        flat = torch.cat([tensor.flatten() for tensor in tensors])
        torch.distributed.all_reduce(flat)
        for tensor, part in zip(
            tensors, torch.split(flat, [t.numel() for t in tensors]), strict=True
        ):
            tensor.copy_(part.view_as(tensor))
