"""Submissions: a folder that scores itself, and what is found wrong with one."""

import json
import shutil
import subprocess
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
from sentencepiece import SentencePieceProcessor

import artpack
from artpack import ArtpackError, BudgetError, UsageError, WindowOptions
from artpack.evaluation.tokens.shards import write_shard
from artpack.evaluation.tokens.stream import tokenize_text
from artpack.submission.folder import DECLARED
from artpack.submission.surroundings import make_fresh, make_linked
from tests.api.conftest import DOCUMENTS
from tests.small_model import write_small_model

WINDOWS = WindowOptions(window_tokens=32, stride_tokens=16, limit_tokens=200)
LONG = {
    "placement": "sliding",
    "window_tokens": 1 << 40,
    "stride_tokens": None,
    "limit_tokens": None,
}
FAKE = "import json\nprint(json.dumps({found!r}))\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, api_tokenizer: SentencePieceProcessor) -> Path:
    """Make a submission, with what it was made of beside it."""
    place = tmp_path_factory.mktemp("submissions")
    write_small_model(place, api_tokenizer, 512)
    write_shard(place / "val.bin", tokenize_text("\0".join(DOCUMENTS), api_tokenizer).ids)
    artpack.compress(place / "ckpt.pt", recipe="int6", portable=True).save(place / "m.artpack")
    (place / "train_gpt.py").write_text("print('training')\n")
    made = make(place, "first")
    assert made.passed
    return place / "first"


def make(place: Path, name: str, **options: Any) -> artpack.SubmitResult:
    given = {"windows": WINDOWS, "tokens": place / "val.bin", **options}
    return artpack.submit(
        place / "m.artpack",
        place / name,
        train_script=place / "train_gpt.py",
        tokenizer=place / "sp.model",
        **given,
    )


@pytest.fixture
def copied(folder: Path) -> Any:
    """Return the submission's copy, whose script says what the folder claims, at once."""
    place = folder.parent / "copy"
    shutil.copytree(folder, place)
    claims = json.loads((place / "submission.json").read_text())
    found = {name: claims[name] for name in claims if name.startswith("val_")}
    found |= {"tokens": claims["scored_tokens"], "bytes": claims["scored_bytes"]}
    source = FAKE.format(found=found)
    size = (place / "evaluate.py").stat().st_size
    (place / "evaluate.py").write_text(source + "#" * (size - len(source)))
    yield place
    shutil.rmtree(place)


def broken(place: Path, **options: Any) -> dict[str, tuple[str, ...]]:
    report = artpack.audit_submission(place, installed=True, **options)
    assert report.passed == all(one.passed for one in report.conditions)
    return {one.name: one.violations for one in report.conditions if not one.passed}


def test_its_score_is_that_of_artpack_and_all_bytes_count(folder: Path) -> None:
    claims = json.loads((folder / "submission.json").read_text())
    files = {path.name: path.stat().st_size for path in folder.iterdir()}
    own = artpack.evaluate(
        folder / "model.artpack",
        folder.parent / "val.bin",
        tokenizer=folder.parent / "sp.model",
        windows=WINDOWS,
    )
    assert own.score is not None
    assert claims["val_bpb"] == pytest.approx(own.score.bits_per_byte.value, abs=1e-6)
    assert claims["val_bpb_stderr"] == pytest.approx(own.score.bits_per_byte.stderr, abs=1e-6)
    assert set(files) == {
        *("model.artpack", "evaluate.py", "train_gpt.py"),
        *("submission.json", "README.md", "requirements.txt"),
    }
    counted = [files[name] for name in ("model.artpack", "evaluate.py", "train_gpt.py")]
    assert claims["bytes_total"] == sum(counted)
    assert claims["bytes_code"] == sum(counted[1:])
    assert (folder / "model.artpack").read_bytes() == (folder.parent / "m.artpack").read_bytes()
    readme = (folder / "README.md").read_text()
    assert f"**{claims['val_bpb']:.6f}" in readme
    assert "| C1 | passed |" in readme


def test_it_runs_with_what_it_declares_alone(folder: Path) -> None:
    report = artpack.audit_submission(folder, installed=True)
    assert report.passed, report
    names = [one.name for one in report.conditions]
    assert names == ["data", "count", "size", "run", "score", "claim"]


TTT = """strategy = "scalars"
tensors = ["*norm*", "*scale*", "*gain*"]
chunk_tokens = 64
[rule]
kind = "sgd"
lr = 0.05
"""


@pytest.mark.slow
def test_a_carried_recipe_is_learned_by(folder: Path) -> None:
    place = folder.parent / "learning"
    place.mkdir()
    for name in ("val.bin", "sp.model", "train_gpt.py"):
        shutil.copy(folder.parent / name, place)
    (place / "mine.toml").write_text(TTT)
    packed = artpack.compress(
        folder.parent / "ckpt.pt", recipe="int6", portable=True, ttt=str(place / "mine.toml")
    )
    packed.save(place / "m.artpack")
    result = make(place, "made")
    assert result.passed
    claims = json.loads((place / "made" / "submission.json").read_text())
    still = json.loads((folder / "submission.json").read_text())
    assert claims["ttt"] == "mine"
    assert still["ttt"] is None
    assert claims["val_bpb"] != still["val_bpb"]
    assert "by the recipe `mine`" in (place / "made" / "README.md").read_text()
    assert artpack.audit_submission(place / "made", installed=True).passed
    with pytest.raises(UsageError, match="places the windows itself: leave `placement` out"):
        make(place, "other", windows=WindowOptions(placement="documents", window_tokens=32))
    shutil.rmtree(place)


def test_an_environment_has_what_is_declared_and_no_more(tmp_path: Path) -> None:
    python = make_linked(tmp_path / "venv", ["numpy>=1.26"])
    for module, found in (("numpy", True), ("torch", False), ("artpack", False)):
        command = [str(python), "-I", "-c", f"import {module}"]
        done = subprocess.run(command, capture_output=True, check=False)
        assert (done.returncode == 0) == found


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ("numpy>=99", r"numpy>=99 is declared, [\d.]+ is installed here"),
        ("no-such-package", "no-such-package is not installed here"),
        ("numpy~=1.0", "understands =="),
    ],
)
def test_what_is_not_installed_is_told(tmp_path: Path, declared: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        make_linked(tmp_path / "venv", [declared])


@pytest.mark.slow
def test_without_a_network_there_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(ArtpackError, match=r"cannot be installed: .*no-such-package") as told:
        make_fresh(tmp_path / "venv", ["no-such-package"])
    assert str(told.value).endswith(
        "without a network, `installed` takes the packages of this Python"
    )
    assert "\n" not in str(told.value)


def test_what_it_declares_are_bounds_of_this_package() -> None:
    assert set(DECLARED) <= set(requires("artpack") or ())


def test_a_byte_more_than_the_limit_fails(copied: Path) -> None:
    total = json.loads((copied / "submission.json").read_text())["bytes_total"]
    assert broken(copied, limit_bytes=total) == {}
    assert set(broken(copied, limit_bytes=total - 1)) == {"size"}
    (copied / "train_gpt.py").write_text("print('training')\n#")
    found = broken(copied, limit_bytes=total)
    assert set(found) == {"count", "size"}
    assert f"total: {total:,} bytes are claimed, {total + 1:,} are there" in found["count"]


def test_a_false_score_is_found(copied: Path) -> None:
    path = copied / "submission.json"
    claims = json.loads(path.read_text())
    path.write_text(json.dumps({**claims, "val_bpb": claims["val_bpb"] - 2e-6, "mine": 1}))
    assert set(broken(copied)) == {"claim"}
    source = (copied / "evaluate.py").read_text()
    lower = source.replace(str(claims["val_bpb"]), str(claims["val_bpb"] - 2e-6))
    (copied / "evaluate.py").write_text(lower[: len(source)].ljust(len(source), "#"))
    assert set(broken(copied)) == {"score"}


def test_a_script_that_fails_is_told_in_one_line(copied: Path) -> None:
    (copied / "evaluate.py").write_text("import artpack")
    found = broken(copied)
    assert found["run"] == ("evaluate.py failed: ModuleNotFoundError: No module named 'artpack'",)
    (copied / "evaluate.py").write_text("print('done')")
    assert broken(copied)["run"] == ("evaluate.py printed no score in its last line",)


def test_other_tokens_are_found(copied: Path) -> None:
    assert set(broken(copied, tokens=copied.parent / "calib.bin")) >= {"data", "score"}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"script": "../evil.py"}, "script must be the name of a file of the folder"),
        ({"bytes_total": "7"}, "bytes_total must be int"),
        ({"windows": {"placement": "sliding"}}, "field 'window_tokens' is missing"),
        ({"windows": LONG}, "windows: window_tokens must be in 1..1048576"),
        ({"tokens": {"path": "/dev/zero", "sha256": ""}}, "/dev/zero: is no file"),
    ],
)
def test_a_damaged_record_is_refused(copied: Path, change: dict[str, Any], words: str) -> None:
    path = copied / "submission.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UsageError, match=words):
        artpack.audit_submission(copied, installed=True)


def test_links_are_refused(copied: Path) -> None:
    (copied / "more.bin").symlink_to(copied.parent / "ckpt.pt")
    with pytest.raises(ArtpackError, match=r"more\.bin: is a link"):
        artpack.audit_submission(copied, installed=True)


def test_nothing_is_left_of_what_is_too_large(folder: Path) -> None:
    claims = json.loads((folder / "submission.json").read_text())
    total = claims["bytes_total"]
    with pytest.raises(BudgetError, match=f"are 1 more than the limit of {total - 1:,}"):
        make(folder.parent, "small", limit_bytes=total - 1)
    assert not (folder.parent / "small").exists()
    assert not list(folder.parent.glob(".small*"))


def test_what_cannot_be_submitted_is_refused(folder: Path, tmp_path: Path) -> None:
    place = folder.parent
    (place / "text.txt").write_text("text")
    with pytest.raises(UsageError, match="no text"):
        make(place, "other", tokens=place / "text.txt")
    (place / "no_model.artpack").write_bytes(
        artpack.compress({"w": artpack.load(place / "m.artpack")["tok_emb.weight"]}).content()
    )
    with pytest.raises(UsageError, match="describes no model"):
        artpack.submit(
            place / "no_model.artpack",
            tmp_path / "x",
            train_script=place / "train_gpt.py",
            tokens=place / "val.bin",
            tokenizer=place / "sp.model",
        )
    with pytest.raises(OSError, match="not empty"):
        make(place, "first")
