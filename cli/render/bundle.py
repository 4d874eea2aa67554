"""The output of ``artpack bundle``."""

from pathlib import Path

import artpack

from .tables import print_json, print_lines


def report(path: Path, size: int, result: "artpack.BundleResult", *, as_json: bool) -> None:
    """Print what was written, and what the test found."""
    total = size + result.artifact_bytes
    if as_json:
        test = result.test
        print_json(
            {
                "path": str(path),
                "bytes": size,
                "artifact_bytes": result.artifact_bytes,
                "total_bytes": total,
                "tested_tensors": None if test is None else len(test.tensors),
                "test_seconds": None if test is None else test.seconds,
            }
        )
        return
    lines = [f"{path}: {size:,} bytes; with the artifact {total:,}"]
    if result.test is not None:
        count, seconds = len(result.test.tensors), result.test.seconds
        lines.append(f"decoded alone in {seconds:.1f} s: {count} tensors, every bit the same")
    print_lines(lines)
