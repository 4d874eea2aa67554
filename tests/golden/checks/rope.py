"""PR 2086's RoPE tables at the published size."""

from dataclasses import replace

import torch

from artpack.models.mechanisms import Rope, Yarn
from artpack.models.rope import rope_frequencies, rope_tables
from tests.golden.checks.case import Case
from tests.golden.checks.report import Report

FILE = "rope_tables_published_dims.npz"
EXACT = Rope(base=5000.0, dims=96, yarn=Yarn(trained_tokens=1024, reach_tokens=2048))
ROUNDED = replace(EXACT, arithmetic="bf16")
TOLERANCE = 1e-6
FREQUENCIES = {"inv_freq_f32": EXACT, "inv_freq_bf16_as_f32": ROUNDED}
TABLES = {"fp32": EXACT, "eager_bf16": ROUNDED}
COMPILED = ("compiled_cpu_bf16", "model_bf16pos_bf16inv_fp32product")
"""What torch's code generator makes of the rounded table on a CPU, and a formula for it."""


def check_published_tables(case: Case, report: Report) -> None:
    """Check the tables, exact and with everything rounded to bfloat16."""
    if FILE not in case:
        return
    golden = case.entries(FILE)
    positions = golden.take("positions").tolist()
    ids = torch.zeros(1, max(positions) + 1)
    for name, rope in FREQUENCIES.items():
        got = rope_frequencies(rope, ids.shape[1])
        report.close(f"{case.label} {FILE} {name}", got, golden.take(name), TOLERANCE)
    for name, rope in TABLES.items():
        for part, table in zip(("cos", "sin"), rope_tables(rope, ids), strict=True):
            entry = f"{name}_{part}"
            got, want = table[positions], golden.take(entry)
            report.close(f"{case.label} {FILE} {entry}", got, want, TOLERANCE)
    for name in COMPILED:
        for entry in (f"{name}_cos", f"{name}_sin"):
            golden.take(entry)
            why = "the CPU code generator's rounding, which artpack does not repeat"
            report.indicative(f"{case.label} {FILE} {entry}", why)
