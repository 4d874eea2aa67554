"""Modules in memory: left as they were, run over batches of all kinds, refused in one line."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import artpack
from artpack.errors import UsageError


def pack(module: nn.Module, batches: Any, **others: Any) -> artpack.CompressResult:
    return artpack.compress(module, calibration_batches=batches, profile="fast", **others)


def perceptron() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 32))


def inputs(count: int = 4) -> list[Tensor]:
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(8, 32, generator=generator) for _ in range(count)]


class Gives(nn.Module):
    """A linear layer whose outputs go through a function."""

    def __init__(self, function: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.linear = nn.Linear(32, 32)
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(self.linear(x))


@pytest.mark.parametrize("tune_steps", [0, 2])
def test_a_module_is_left_as_it_was(tune_steps: int) -> None:
    module = perceptron()
    module[2].eval()  # type: ignore[index, unused-ignore]
    first = next(module.parameters())
    first.requires_grad = False
    modes = [part.training for part in module.modules()]
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    pack(module, inputs(), tune_steps=tune_steps)
    assert [part.training for part in module.modules()] == modes
    assert [p.requires_grad for p in module.parameters()] == [False] + [True] * 5
    assert all(p.grad is None for p in module.parameters())
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name


def test_a_module_is_left_as_it_was_when_it_fails() -> None:
    module = perceptron()
    with pytest.raises(UsageError, match="cannot run a batch"):
        artpack.calibrate(module, batches=[torch.zeros(3, 5)])
    assert all(part.training for part in module.modules())


def test_a_module_has_no_notes_of_models_that_are_known() -> None:
    assert pack(perceptron(), inputs(), recipe="int8").notes == ()


@pytest.mark.parametrize(
    "batches",
    [
        [batch.numpy() for batch in inputs()],
        [(batch,) for batch in inputs()],
        [{"input": batch} for batch in inputs()],
        DataLoader(TensorDataset(torch.cat(inputs())), batch_size=8),
        (batch for batch in inputs()),
    ],
    ids=["numpy", "tuples", "named", "loader", "generator"],
)
def test_batches_of_all_kinds_give_the_same_moments(batches: Any) -> None:
    expected = artpack.calibrate(perceptron(), batches=inputs()).hessians
    found = artpack.calibrate(perceptron(), batches=batches).hessians
    assert found.keys() == expected.keys() == {"0.weight", "3.weight"}
    for name, hessian in found.items():
        assert torch.equal(hessian, expected[name]), name


@pytest.mark.parametrize("whole", [torch.cat(inputs()), torch.cat(inputs()).numpy()])
def test_a_tensor_is_one_sample_a_row(whole: Any) -> None:
    found = artpack.calibrate(perceptron(), batches=whole)
    assert found.tokens == 32
    x = torch.cat(inputs()).double()
    torch.testing.assert_close(
        found.hessians["0.weight"].double(), x.T @ x / 32, rtol=1e-5, atol=1e-5
    )


def test_labels_of_a_loader_are_left_out_by_forward() -> None:
    loader = DataLoader(TensorDataset(torch.cat(inputs()), torch.zeros(32)), batch_size=8)
    with pytest.raises(UsageError, match=r"\(float32\(8, 32\), float32\(8,\)\).*`forward=`"):
        artpack.calibrate(perceptron(), batches=loader)
    found = artpack.calibrate(perceptron(), batches=loader, forward=lambda m, b: m(b[0]))
    expected = artpack.calibrate(perceptron(), batches=inputs())
    assert torch.equal(found.hessians["0.weight"], expected.hessians["0.weight"])


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda y: {"out": y}, "named values out.*`forward=`"),
        (lambda y: y.long(), r"int64\(8, 32\)"),
        (lambda y: None, "gives NoneType"),  # noqa: ARG005 - what it gives is the point
        (lambda y: y.detach(), "no gradient"),
        (lambda y: y * float("nan"), "NaN or infinite"),
        (torch.ones_like, "the same in each of 32 rows"),
        (lambda y: y[:0], "no outputs"),
    ],
)
def test_outputs_that_are_of_no_use_are_one_line(
    function: Callable[[Tensor], Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        pack(Gives(function), inputs())


@pytest.mark.parametrize("loss", ["logits", "cosine"])
def test_outputs_that_are_no_numbers_are_refused_by_every_loss(loss: str) -> None:
    with pytest.raises(UsageError, match="NaN or infinite"):
        pack(Gives(lambda y: y * float("nan")), inputs(), loss=loss)


def test_a_calibration_without_gradients_does_for_outputs_that_give_none() -> None:
    module = Gives(Tensor.detach)
    known = artpack.calibrate(module, batches=inputs(), fisher=False)
    result = artpack.compress(module, calibration=known, budget=3000, profile="fast")
    assert result.size_bytes <= 3000


@pytest.mark.parametrize(
    ("batches", "message"),
    [
        ([], "no batches"),
        (3, "a list of batches is needed, got int"),
        (["text"], "batch of str"),
        ([torch.zeros(8, 32, dtype=torch.float64)], r"float64\(8, 32\)"),
        ([{"other": torch.zeros(8, 32)}], "named values other"),
        ([torch.zeros(0, 32)], "no outputs"),
        ([*inputs(), torch.zeros(0, 32)], "no outputs"),
        (np.zeros((0, 32), np.float32), "no outputs"),
    ],
)
def test_batches_that_a_module_does_not_take_are_one_line(batches: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pack(Gives(lambda y: y), batches)


def test_what_the_callers_own_functions_raise_is_theirs() -> None:
    with pytest.raises(ZeroDivisionError):
        pack(perceptron(), inputs(), forward=lambda module, batch: 1 / 0)  # noqa: ARG005


class Remembers(Gives):
    """A module whose state dict holds more than tensors."""

    def get_extra_state(self) -> dict[str, int]:
        return {"steps": 3}

    def set_extra_state(self, state: Any) -> None:
        assert state == {"steps": 3}


def test_other_state_than_tensors_is_nobodys_weight() -> None:
    result = pack(Remembers(lambda y: y), inputs(), budget=3000, tune_steps=2)
    assert result.loss is not None


class Strict(Gives):
    """As modules of torch.jit are: its weights are not frozen as a whole."""

    def requires_grad_(self, requires_grad: bool = True) -> "Strict":  # noqa: ARG002, FBT001, FBT002
        raise RuntimeError("requires_grad_ is not supported")


def test_weights_are_frozen_one_by_one() -> None:
    assert pack(Strict(lambda y: y), inputs(), budget=3000).loss is not None


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_modes_of_the_caller_do_not_matter(mode: Callable[[], Any]) -> None:
    module = Gives(lambda y: y)
    expected = pack(module, inputs(), budget=3000, tune_steps=2)
    batches = inputs()
    with mode():
        assert pack(module, batches, budget=3000, tune_steps=2).content() == expected.content()
        assert not torch.is_grad_enabled()


def test_a_module_that_never_gets_gradients_is_one_line() -> None:
    with torch.inference_mode():
        module = perceptron()
    with pytest.raises(UsageError, match=r"made in torch\.inference_mode"):
        pack(module, inputs())


def test_a_weight_that_is_no_number_is_named() -> None:
    module = perceptron()
    with torch.no_grad():
        next(module.parameters())[0, 0] = torch.nan
    with pytest.raises(artpack.ArtpackError, match=r"0\.weight"):
        pack(module, inputs())


def test_a_module_may_change_its_inputs() -> None:
    given = inputs()
    plain = nn.Linear(32, 32)
    before = pack(plain, given, forward=lambda m, b: m(b + 1), budget=3000)
    after = pack(plain, given, forward=lambda m, b: m(b.add_(1)), budget=3000)
    assert after.content() == before.content()
    assert all(torch.equal(x, y) for x, y in zip(given, inputs(), strict=True))


class OneWay(torch.autograd.Function):
    """The identity, without a way back."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:  # noqa: ARG004
        raise RuntimeError("no way back")


def test_what_forbids_gradients_is_one_line() -> None:
    function: Any = OneWay
    with pytest.raises(UsageError, match=r"do not come back through the model.*no way back"):
        artpack.calibrate(Gives(function.apply), batches=inputs())
