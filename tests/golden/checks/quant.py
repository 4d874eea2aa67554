"""Quantizing: every code, scale and weight of the published exports."""

from tests.golden.checks import quant_576, quant_826, quant_1934, quant_grids
from tests.golden.checks.case import Case
from tests.golden.checks.report import Report

SYSTEMS = {
    "pr1934": quant_1934.check_case,
    "pr576": quant_576.check_case,
    "pr826": quant_826.check_case,
    "pr2086": quant_grids.check_2086,
    "pr1123": quant_grids.check_1123,
}


def check(case: Case, report: Report) -> None:
    """Check ``quant.*``, ``hessians.npz`` and what comes without a model."""
    if "quant.npz" in case and case.system:
        SYSTEMS[case.system](case, report)
    if "quant_units.npz" in case:
        quant_826.check_units(case, report)
    if "quant_extra_in.npz" in case:
        quant_576.check_extra(case, report)
    if "units.npz" in case:
        quant_1934.check_units(case, report)
    if "weights.npz" in case:
        quant_1934.check_extra(case, report)
