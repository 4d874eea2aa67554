"""``submission.json``: what a folder claims of itself."""

import json
from dataclasses import dataclass, fields
from pathlib import Path

from artpack.errors import UsageError
from artpack.models.mechanisms import MAX_WIDTH
from artpack.stages import Record, check_range
from artpack.stages.parsing import parse_json

RECORD = "submission.json"


@dataclass(frozen=True)
class Windows(Record):
    """
    What of the tokens is run and scored.

    Attributes:
        placement: How windows lie.
        window_tokens: Tokens a window.
        stride_tokens: Scored tokens a window; None for all.
        limit_tokens: The first so many are scored; None for all.
    """

    placement: str
    window_tokens: int
    stride_tokens: int | None
    limit_tokens: int | None

    def __post_init__(self) -> None:
        for name in ("window_tokens", "stride_tokens"):
            check_range(self, name, 1, MAX_WIDTH)
        check_range(self, "limit_tokens", 1, 1 << 62)


@dataclass(frozen=True)
class Data(Record):
    """
    What the score was taken of, and is not in the folder.

    Attributes:
        path: Where it was, from the folder; may be a pattern.
        sha256: Of its content, files of a pattern in the order of their names.
    """

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Submission(Record):
    """
    What a folder claims. The first ten fields are those of published submissions.

    Attributes:
        author: Whose it is.
        github_id: Whose it is.
        name: What it is called.
        blurb: What it is, in a line.
        val_loss: Mean loss, nats a token.
        val_bpb: Bits per byte.
        bytes_total: What counts.
        bytes_code: Code among it.
        bytes_artifact: The artifact among it.
        bytes_limit: What may count.
        val_loss_stderr: Standard error; None for a single document.
        val_bpb_stderr: Likewise.
        scored_tokens: How many tokens were scored.
        scored_bytes: Bytes of text that they stand for.
        artifact: Name of the artifact.
        script: Name of the script that scores it.
        train_script: Name of the script that it was trained by.
        windows: What of the tokens is scored.
        ttt: Name of the recipe by which the model learns while it is scored, which the
            artifact carries; None if it stands still.
        tokens: The tokens.
        tokenizer: Their SentencePiece model.
        sidecar: Bytes of each token, if they do not tell.
        artpack: Version that wrote it.
    """

    author: str = ""
    github_id: str = ""
    name: str
    blurb: str = ""
    val_loss: float
    val_bpb: float
    bytes_total: int
    bytes_code: int
    bytes_artifact: int
    bytes_limit: int
    val_loss_stderr: float | None
    val_bpb_stderr: float | None
    scored_tokens: int
    scored_bytes: int
    artifact: str
    script: str
    train_script: str
    windows: Windows
    ttt: str | None = None
    tokens: Data
    tokenizer: Data
    sidecar: Data | None = None
    artpack: str

    def __post_init__(self) -> None:
        for name in ("bytes_total", "bytes_code", "bytes_artifact", "bytes_limit"):
            check_range(self, name, 0, 1 << 62)
        for name in ("artifact", "script", "train_script"):
            value = getattr(self, name)
            if not value or Path(value).name != value or "\0" in value:
                raise UsageError(f"{name} must be the name of a file of the folder, got {value!r}")

    def text(self) -> str:
        """Return the file's content."""
        return json.dumps(self.to_json(), indent=2) + "\n"


def read_record(folder: Path) -> Submission:
    """
    Read what a folder claims; fields that are not known are the author's own.

    Args:
        folder: The folder.

    Returns:
        The record.

    Raises:
        UsageError: There is none, or it is damaged.

    """
    path = folder / RECORD
    try:
        value = parse_json(path.read_bytes())
        known = {field.name for field in fields(Submission)}
        own = {k: v for k, v in value.items() if k in known} if isinstance(value, dict) else value
        return Submission.from_json(own, where="")
    except OSError as error:
        raise UsageError(f"{path}: cannot be read ({error.strerror})") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
