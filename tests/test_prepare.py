"""Tensors that are quantized before they are packed."""

import pytest
import torch

from artpack.artifact.reader import open_artifact
from artpack.checkpoint import from_state_dict
from artpack.coding.profiles import profile_named
from artpack.compress import Packed, compress
from artpack.errors import UsageError
from artpack.prepare import Prepared
from artpack.quantize import RowInt
from artpack.quantize.clips import GivenClip
from artpack.quantize.report import Report
from artpack.recipes import load_recipe
from artpack.selection import select

WEIGHTS = {"fc.weight": torch.linspace(-1, 1, 64 * 33).reshape(64, 33), "b": torch.ones(5)}
QUANTIZER = RowInt(3, GivenClip())


def pack(prepared: dict[str, Prepared]) -> Packed:
    with from_state_dict(WEIGHTS) as checkpoint:
        return compress(
            checkpoint,
            select(checkpoint),
            load_recipe("int8"),
            prepared=prepared,
            provenance={"calibration": "mine"},
            profile=profile_named("fast"),
        )


def test_prepared_tensors_are_stored_as_given_and_others_by_their_rule() -> None:
    report = Report(0.01, 0.1, 0.0, 0.5, 0, 2.0)
    quantized = QUANTIZER.quantize(WEIGHTS["fc.weight"])

    packed = pack({"fc.weight": Prepared(QUANTIZER, quantized, report)})

    with open_artifact(b"".join(packed.pieces())) as artifact:
        back = artifact.load()
        assert [t.quantizer.label for t in artifact.header.plan.tensors] == ["int3", "fp16"]
        assert artifact.header.provenance["reports"] == [report.to_json(), None]
        assert artifact.header.provenance["calibration"] == "mine"
    assert torch.equal(back["fc.weight"], QUANTIZER.dequantize(quantized))


@pytest.mark.parametrize(("name", "shape"), [("fc.weight", (3, 4)), ("other", (64, 33))])
def test_what_does_not_fit_the_selection_is_refused(name: str, shape: tuple[int, ...]) -> None:
    quantized = QUANTIZER.quantize(torch.ones(shape))

    with pytest.raises(UsageError, match=f"{name!r} is prepared with the shape"):
        pack({name: Prepared(QUANTIZER, quantized)})


@pytest.mark.parametrize(
    "value", [None, 3, [1, 2, 3], [1, 2, 3, 4, "x"], [1, True, 3, 4, 5], [10**9] * 5]
)
def test_what_is_no_report_is_none(value: object) -> None:
    assert Report.from_json(value) is None  # type: ignore[arg-type]
