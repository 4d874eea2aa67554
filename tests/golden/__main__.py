"""
Check artpack against golden folders: ``python tests/golden.py DIR... [--only AREA,...]``.

A golden folder holds what a published system computed on a small model: its config
says which system it is (the layout is described in the README beside the shared
golden data). Folders are searched for such cases. One line is printed for each thing
compared; the exit code is 1 if any differs, or if there is anything that no check
knows.
"""

import argparse
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.golden.archive import SUFFIX, unpack
from tests.golden.checks import calibration, caseops, container, models, ngram, quant, scoring, ttt
from tests.golden.checks.case import Case, find_cases
from tests.golden.checks.report import Report

CHECKS = {
    "models": models.check,
    "scoring": scoring.check,
    "calibration": calibration.check,
    "quant": quant.check,
    "container": container.check,
    "ttt": ttt.check,
    "caseops": caseops.check,
    "ngram": ngram.check,
}


def check_case(case: Case, areas: list[str], report: Report) -> None:
    """Run the checks of some areas on one folder."""
    raised = report.raised
    for area in areas:
        with report.attempt(f"{case.label} {area}"):
            CHECKS[area](case, report)
    if set(areas) != set(CHECKS):
        return
    if report.raised > raised:
        report.fail(case.label, "what no check knows was not looked for, since a check ended early")
    else:
        case.settle(report)


def main(arguments: list[str] | None = None) -> int:
    """Check what the command line names and return the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).strip().splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--only", default=",".join(CHECKS), help=",".join(CHECKS))
    parser.add_argument("--tokenizers", type=Path, metavar="DIR", help="where tokenizers are")
    options = parser.parse_args(arguments)
    areas = options.only.split(",")
    if unknown := set(areas) - set(CHECKS):
        parser.error(f"no such area: {', '.join(sorted(unknown))} (there are {', '.join(CHECKS)})")
    # The stored values were computed by one thread.
    torch.set_num_threads(1)
    report = Report()
    for path in options.folders:
        with TemporaryDirectory() as scratch:
            # Named after the archive, for the label of its cases.
            folder = Path(scratch) / path.name.removesuffix(SUFFIX)
            cases = find_cases(unpack(path, folder) if path.is_file() else path, options.tokenizers)
            if not cases:
                report.fail(str(path), "nothing to check here")
            for case in cases:
                check_case(case, areas, report)
    print(report.summary())
    return 1 if report.failures else 0


if __name__ == "__main__":
    sys.exit(main())
