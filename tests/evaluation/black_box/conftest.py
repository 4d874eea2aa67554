"""Evaluators run as strangers' do: without what measures the coverage of our tests."""

import os

import pytest


@pytest.fixture(autouse=True)
def unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Their processes may not write where coverage keeps its data, and would fail at the end."""
    for name in list(os.environ):
        if name.startswith("COVERAGE_"):
            monkeypatch.delenv(name)
