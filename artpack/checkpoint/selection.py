"""The selection of a checkpoint's tensors that are packed."""

from dataclasses import dataclass

from artpack.checkpoint import Bank, Checkpoint, TensorInfo, Tie
from artpack.errors import UsageError
from artpack.stages.patterns import Pattern, compiled


@dataclass(frozen=True)
class Selection:
    """
    The part of a checkpoint that is packed.

    Attributes:
        outputs: Names as the checkpoint has them, in order.
        tensors: What is stored for them: banks opened, ties left out.
        ties: Those of ``outputs`` that equal another one.
        banks: Those of ``outputs`` that are stacks of stored tensors.
        left_out: Names that were not selected.
    """

    outputs: tuple[str, ...]
    tensors: tuple[TensorInfo, ...]
    ties: tuple[Tie, ...]
    banks: tuple[Bank, ...]
    left_out: tuple[str, ...]

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name to shape of the outputs."""
        shapes = {info.name: info.shape for info in self.tensors}
        for bank in self.banks:
            shapes[bank.name] = bank.shape(shapes[bank.members[0]])
        shapes |= {tie.name: shapes[tie.target] for tie in self.ties}
        return {name: shapes[name] for name in self.outputs}


def select(checkpoint: Checkpoint, *, include: str = "", exclude: str | None = None) -> Selection:
    """
    Select tensors by name; a bank is in or out as a whole.

    Args:
        checkpoint: Where from.
        include: Regular expression that must be found in the name.
        exclude: Regular expression that must not be found in it.

    Returns:
        What is left.

    Raises:
        UsageError: An expression does not compile, nothing is left, or a tie
            would lose its target.

    """
    keep, drop = _compiled("include", include), _compiled("exclude", exclude)
    outputs = tuple(
        name
        for name in checkpoint.names
        if keep is None or keep.found_in(name)
        if drop is None or not drop.found_in(name)
    )
    if not outputs:
        raise UsageError("no tensor is left to pack: widen `include` or narrow `exclude`")
    chosen = set(outputs)
    ties = tuple(tie for tie in checkpoint.ties if tie.name in chosen)
    for tie in ties:
        if tie.target not in chosen:
            raise UsageError(
                f"{tie.name!r} is tied to {tie.target!r}, which is left out:"
                " include or exclude both"
            )
    banks = tuple(bank for bank in checkpoint.banks if bank.name in chosen)
    stored = chosen | {member for bank in banks for member in bank.members}
    tensors = tuple(info for info in checkpoint.tensors if info.name in stored)
    left_out = tuple(name for name in checkpoint.names if name not in chosen)
    return Selection(outputs, tensors, ties, banks, left_out)


def _compiled(field: str, expression: str | None) -> Pattern | None:
    try:
        return compiled(expression) if expression else None
    except UsageError as error:
        raise UsageError(f"`{field}` {error}") from error
