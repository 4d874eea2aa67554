"""
The training loop.

Everything that a run is follows from its settings, its data and its seed. Its state can
be written after any step; a run that goes on from it computes the same losses.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import torch
import torch.distributed
from torch import Tensor
from torch.func import functional_call

from artpack.models.config import ModelConfig
from artpack.models.gpt import GPT
from artpack.recipes import load_recipe
from artpack.system.ranks import Ranks
from artpack.training.averaging import Ema, Hma, Swa, WeightAverage, float_weights
from artpack.training.batches import Loader, TrainingBatch
from artpack.training.curriculum import easiest_first
from artpack.training.data import Data
from artpack.training.initialise import initialise
from artpack.training.loss import training_loss
from artpack.training.optimizers import make_optimizers, set_rates
from artpack.training.qat import packed_weights, store
from artpack.training.schedule import factor, progress
from artpack.training.settings import AverageSettings, Training
from artpack.training.size_loss import bits_per_weight

Row: TypeAlias = "dict[str, float]"
"""What there is to say about one step: ``step``, ``loss``, ``factor``, ``seconds`` ..."""


@dataclass(frozen=True)
class Machine:
    """
    What a run computes with.

    Attributes:
        device: This process's own, as torch names it.
        precision: ``bf16`` autocasts the forward pass.
    """

    device: str = "cpu"
    precision: Literal["fp32", "bf16"] = "bf16"


class Run:
    """
    A model in training.

    Args:
        training: The settings.
        config: The model.
        data: What it reads.
        machine: What it computes with.
    """

    def __init__(
        self, training: Training, config: ModelConfig, data: Data, machine: Machine
    ) -> None:
        self.training, self.config, self.machine = training, config, machine
        self.spec = None
        if training.qat is not None:
            self.spec = load_recipe(training.qat.recipe, training.qat.overrides)
        model = GPT(config)
        initialise(model, training.init, seed=training.seed)
        self.model = model.to(machine.device)
        self.parameters: dict[str, Tensor] = dict(self.model.named_parameters())
        self.optimizers = make_optimizers(training.groups, self.parameters)
        initial = float_weights(self.model)
        self.averages = [_average(settings, initial) for settings in training.averages]
        ranked = training.batches.ranked_shards
        order = easiest_first(model, data.shards, device=machine.device) if ranked else None
        self.loader = Loader(
            data.in_order(order),
            training.batches,
            seed=training.seed,
            bos_id=data.held_out.bos_id,
            device=machine.device,
        )
        self.step, self.seconds = 0, 0.0
        self.log: list[Row] = []

    @property
    def done(self) -> float:
        """How much of the run is over; 1 or more ends it. The same in every process."""
        done = progress(self.training.schedule, step=self.step, seconds=self.seconds)
        if Ranks.current().world == 1 or self.training.schedule.seconds is None:
            return done
        shared = torch.tensor(done, dtype=torch.float64, device=self.machine.device)
        torch.distributed.broadcast(shared, src=0)
        return float(shared)

    def advance(self, done: float) -> Row:
        """
        Take one step.

        Args:
            done: How much of the run is over.

        Returns:
            What there is to say about it.

        """
        started = time.monotonic()
        rate = factor(self.training.schedule, step=self.step, done=done)
        set_rates(self.optimizers, step=self.step, factor=rate)
        self._switch_loop(done)
        loss, bits = self._gradients(rate, done)
        norm = self._clip()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        weights = float_weights(self.model)
        for average in self.averages:
            average.update(weights, step=self.step, factor=rate)
        self.step += 1
        self.seconds += time.monotonic() - started
        row = {"step": self.step, "loss": loss, "factor": rate, "gradient_norm": norm}
        row |= {} if bits is None else {"bits_per_weight": bits}
        row |= {"tokens": self.step * self.training.batches.tokens, "seconds": self.seconds}
        self.log.append(row)
        return row

    def state_dict(self) -> dict[str, Any]:
        """Return all that the next steps depend on."""
        return {
            "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "averages": [average.state_dict() for average in self.averages],
            "step": self.step,
            "seconds": self.seconds,
            "log": self.log,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """
        Go on from a state.

        Args:
            state: What :meth:`state_dict` returned.

        Raises:
            Exception: It is not of such a run: whatever torch raises, or a ValueError.

        """
        self.model.load_state_dict(state["model"])
        for optimizer, its in zip(self.optimizers, state["optimizers"], strict=True):
            # Rates and momenta follow from the recipe and the step.
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": its["state"], "param_groups": groups})
        for average, its in zip(self.averages, state["averages"], strict=True):
            average.load_state_dict(its)
        self.step, self.seconds, self.log = state["step"], state["seconds"], state["log"]
        self._check_taken()

    def _check_taken(self) -> None:
        """Fail on numbers that are none, and on moments and averages that fit no weight."""
        if not (type(self.step) is int and type(self.seconds) is float and self.step >= 0):
            raise ValueError("step and seconds must be numbers")
        if not (isinstance(self.log, list) and all(isinstance(row, dict) for row in self.log)):
            raise ValueError("the log must be a list of rows")
        for optimizer in self.optimizers:
            for parameter, its in optimizer.state.items():
                if any(part.shape not in ((), parameter.shape) for part in its.values()):
                    raise ValueError("a moment has not the shape of its weight")
        shapes = {name: weight.shape for name, weight in float_weights(self.model).items()}
        for average in self.averages:
            weights = average.weights()
            if weights is not None and {n: w.shape for n, w in weights.items()} != shapes:
                raise ValueError("an average is not of these weights")

    def _gradients(self, rate: float, done: float) -> tuple[float, float | None]:
        """Leave the gradient in the parameters; return the loss, and the bits per weight."""
        weights, bits = self._forward_weights(rate, done)
        batches, ranks = self.training.batches, Ranks.current()
        total = torch.zeros((), device=self.machine.device)
        for number in range(ranks.rank, batches.passes, ranks.world):
            loss = self._loss(weights, self.loader.batch(self.step, number))
            torch.autograd.backward(loss / batches.passes)
            total += loss.detach() / batches.passes
        if ranks.world > 1:
            gradients = [p.grad for p in self.parameters.values() if p.grad is not None]
            for tensor in (total, *gradients):
                torch.distributed.all_reduce(tensor)
        if bits is None or self.training.qat is None:
            return float(total), None
        torch.autograd.backward(self.training.qat.rate_weight * bits)
        return float(total), float(bits.detach())

    def _forward_weights(self, rate: float, done: float) -> tuple[dict[str, Tensor], Tensor | None]:
        """Return what the model runs on, and the bits per weight where they are charged."""
        qat = self.training.qat
        if qat is None or self.spec is None or not self._quantizes(rate):
            return self.parameters, None
        stored = store(self.config, self.parameters, self.spec)
        charged = qat.rate_weight > 0 and done >= 1 - qat.rate_share
        bits = bits_per_weight(stored.values()) if charged else None
        return packed_weights(self.config, self.parameters, stored), bits

    def _switch_loop(self, done: float) -> None:
        loop = self.config.loop
        if loop is not None:
            active = done >= self.training.loop_from
            self.model.config = replace(self.config, loop=replace(loop, active=active))

    def _quantizes(self, rate: float) -> bool:
        qat, schedule = self.training.qat, self.training.schedule
        assert qat is not None
        return qat.below_factor >= 1 or (
            rate <= qat.below_factor and self.step >= schedule.warmup_steps
        )

    def _loss(self, weights: dict[str, Tensor], batch: TrainingBatch) -> Tensor:
        bf16 = self.machine.precision == "bf16"
        device = torch.device(self.machine.device).type
        with torch.autocast(device, torch.bfloat16, enabled=bf16):
            logits = functional_call(self.model, weights, (batch.ids, batch.documents))
        return training_loss(logits, batch.targets, z_loss=self.training.z_loss)

    def _clip(self) -> float:
        limit = self.training.gradient_clip or float("inf")
        return float(torch.nn.utils.clip_grad_norm_(self.parameters.values(), limit))


def _average(settings: AverageSettings, initial: dict[str, Tensor]) -> WeightAverage:
    makers: dict[str, Callable[[], WeightAverage]] = {
        "ema": lambda: Ema(initial, settings.decay, warmup_steps=settings.warmup_steps),
        "hma": lambda: Hma(initial, settings.decay),
        "swa": lambda: Swa(settings.every_steps, settings.below_factor),
    }
    return makers[settings.kind]()
