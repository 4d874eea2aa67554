"""Size: what counts against the limit."""

from artpack.evaluation.audit.condition import Condition


def judge_size(artifact_bytes: int, code_bytes: int, limit_bytes: int) -> Condition:
    """
    Compare with the limit.

    Args:
        artifact_bytes: Size of the file.
        code_bytes: Bytes of code that count.
        limit_bytes: What both may have together.

    Returns:
        The finding.

    >>> judge_size(15_900_000, 120_000, 16_000_000).violations
    ('16,020,000 bytes are 20,000 more than the limit of 16,000,000',)

    """
    total = artifact_bytes + code_bytes
    over = total - limit_bytes
    text = f"{total:,} bytes are {over:,} more than the limit of {limit_bytes:,}"
    return Condition.judge(
        "size",
        "artifact and counted code are within the limit",
        f"{artifact_bytes:,} + {code_bytes:,} of {limit_bytes:,} bytes",
        [text] if over > 0 else [],
    )
