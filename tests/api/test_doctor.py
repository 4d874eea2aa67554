"""``artpack.doctor``."""

import shutil

import numpy as np
import pytest

import artpack
from artpack.api import self_test
from artpack.api.self_test import GRIDS, check_decoders
from artpack.coding.codecs import CODECS
from artpack.coding.layouts import LAYOUTS
from artpack.coding.symbol_coders import SYMBOL_CODERS, Rans
from artpack.errors import UsageError
from artpack.quantize import QUANTIZERS
from artpack.stages.symbols import Symbols
from artpack.system.workers import cores


def test_every_decoder_of_the_tables_is_tried() -> None:
    tried = [(check.kind, check.name) for check in check_decoders()]
    tables = {"codec": CODECS, "coder": SYMBOL_CODERS, "layout": LAYOUTS, "grid": QUANTIZERS}
    assert sorted(tried) == sorted((kind, name) for kind, t in tables.items() for name in t)
    assert len(GRIDS) == len(QUANTIZERS)


def test_an_installation_is_described() -> None:
    report = artpack.doctor()
    assert (report.passed, report.cores) == (True, cores())
    assert report.artpack == artpack.__version__
    assert report.devices[0].name == "cpu"
    packages = {package.name: package for package in report.packages}
    assert packages["numpy"] == type(packages["numpy"])("numpy", np.__version__, "")
    assert packages["transformers"].extra
    assert len(packages) == len(report.packages)
    assert "pytest" not in packages
    assert report.to_json()["checks"][0]["name"] == "stored"


def test_a_decoder_that_gives_back_something_else_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(_self: Rans, _data: bytes, *, alphabet: int, count: int) -> Symbols:
        del alphabet
        return np.zeros(count, np.uint8)

    monkeypatch.setattr(Rans, "decode", wrong)
    found = {check.name: check for check in check_decoders()}
    assert found["rans"].passed is False
    assert found["rans"].fault == "gives back something else"
    assert not artpack.doctor().passed


@pytest.mark.parametrize(("there", "passed"), [(False, None), (True, False)])
def test_a_missing_program_is_no_fault_and_one_that_fails_is(
    monkeypatch: pytest.MonkeyPatch, *, there: bool, passed: bool | None
) -> None:
    def fails(*_arguments: object) -> None:
        raise UsageError("lrzip: no")

    monkeypatch.setattr(self_test, "_codec", fails)
    monkeypatch.setattr(shutil, "which", lambda name: name if there else None)
    found = {check.name: check.passed for check in check_decoders()}
    assert found["lrzip"] is passed
    assert found["zstd"] is False
