"""Where commands write: what may be replaced, what is no file, and what is found before."""

import ast
import json
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import artpack_cli
import pytest
import safetensors.torch
import torch
from artpack_cli.options.targets import default_target

import artpack
from artpack.errors import UsageError
from artpack.interop import write_container
from tests.cli.conftest import Invoke
from tests.interop.containers import make


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def artifact(here: Path) -> Path:
    artpack.save({"fc.weight": torch.eye(8), "bias": torch.ones(8)}, here / "a.artpack")
    return here / "a.artpack"


def write_model(path: Path, value: float) -> Path:
    path.parent.mkdir(exist_ok=True)
    weights = {"fc.weight": value * torch.eye(8), "bias": torch.ones(8)}
    safetensors.torch.save_file(weights, path)
    return path


FAST = ("--recipe", "lossless", "--profile", "fast")


# Default names.


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("ckpt.pt", "ckpt.artpack"),
        ("runs/ckpt.safetensors", "runs/ckpt.artpack"),
        ("model.safetensors.index.json", "model.artpack"),
        ("final.int6.ptz", "final.int6.artpack"),
        ("Qwen2.5-0.5B", "Qwen2.5-0.5B.artpack"),
        ("step-0.125", "step-0.125.artpack"),
        ("noending", "noending.artpack"),
        (".pt", ".pt.artpack"),
    ],
)
def test_the_ending_of_weights_is_replaced_and_no_other(source: str, target: str) -> None:
    assert default_target(Path(source)) == Path(target)


def test_the_name_of_a_folder_has_no_ending(here: Path) -> None:
    (here / "v1.bin").mkdir()
    assert default_target(Path("v1.bin")) == Path("v1.bin.artpack")
    assert default_target(Path()) == here.with_name(here.name + ".artpack")
    with pytest.raises(UsageError, match="no name to make the artifact's of: give it with -o"):
        default_target(Path("/"))


def test_folders_that_differ_after_a_dot_have_artifacts_of_their_own(
    invoke: Invoke, here: Path
) -> None:
    for name, value in (("Qwen2.5-0.5B", 1.0), ("Qwen2.5-0.5B-Instruct", 2.0)):
        write_model(here / name / "model.safetensors", value)
        assert invoke("compress", name, *FAST).code == 0
        assert artpack.load(f"{name}.artpack")["fc.weight"][0, 0] == value


def test_the_folder_that_one_is_in_can_be_packed(
    invoke: Invoke, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(here / "model-0.5B" / "model.safetensors", 3.0)
    monkeypatch.chdir(here / "model-0.5B")
    done = invoke("compress", ".", *FAST)
    assert done.code == 0, done.err
    assert artpack.load(here / "model-0.5B.artpack")["fc.weight"][0, 0] == 3.0


def test_an_artifact_of_the_same_weights_is_replaced(invoke: Invoke, here: Path) -> None:
    write_model(here / "m.safetensors", 1.0)
    for recipe in ("lossless", "int6"):
        done = invoke("compress", "m.safetensors", "--recipe", recipe, "--profile", "fast")
        assert done.code == 0, done.err
    with artpack.open("m.artpack") as opened:
        recipe_of = opened.header.provenance["recipe"]
    assert isinstance(recipe_of, dict)
    assert recipe_of["name"] == "int6"


def test_an_artifact_of_other_weights_is_not_replaced_unless_forced(
    invoke: Invoke, here: Path
) -> None:
    write_model(here / "m.safetensors", 1.0)
    torch.save({"fc.weight": 2 * torch.eye(8)}, "m.pt")
    assert invoke("compress", "m.safetensors", *FAST).code == 0
    before = (here / "m.artpack").read_bytes()
    done = invoke("compress", "m.pt", *FAST)
    assert done.code == 2
    assert done.err == (
        "artpack: m.artpack: is there, and is an artifact of other weights:"
        " name another with -o, or give --force\n"
    )
    assert (here / "m.artpack").read_bytes() == before
    assert invoke("compress", "m.pt", *FAST, "--dry-run").code == 0
    assert invoke("compress", "m.pt", *FAST, "--force").code == 0
    assert artpack.load("m.artpack")["fc.weight"][0, 0] == 2
    assert invoke("compress", "m.safetensors", *FAST, "-o", "m.artpack").code == 0


@pytest.mark.parametrize("content", [b"", b"my thesis", b"artpack" * 100])
def test_what_is_no_artifact_is_not_replaced(invoke: Invoke, here: Path, content: bytes) -> None:
    write_model(here / "m.safetensors", 1.0)
    (here / "m.artpack").write_bytes(content)
    done = invoke("compress", "m.safetensors", *FAST)
    assert done.code == 2
    assert "m.artpack: is there, and is no artifact: name another" in done.err
    assert (here / "m.artpack").read_bytes() == content


def test_import_keeps_the_same_rules(invoke: Invoke, here: Path) -> None:
    data = write_container(make("torch-zstd"), "torch-zstd")
    (here / "run-0.5.ptz").write_bytes(data)
    (here / "run-0.5").write_bytes(data)
    assert invoke("import", "run-0.5.ptz", "--profile", "fast").code == 0
    assert invoke("import", "run-0.5", "--profile", "fast").code == 0  # the same source
    (here / "run-0.5.artpack").write_bytes(b"something else")
    refused = invoke("import", "run-0.5", "--profile", "fast")
    assert (refused.code, "give --force" in refused.err) == (2, True)
    assert invoke("import", "run-0.5", "--profile", "fast", "--force").code == 0


def test_the_demo_replaces_no_other_model(invoke: Invoke, here: Path) -> None:
    write_model(here / "model.safetensors", 1.0)
    before = (here / "model.safetensors").read_bytes()
    done = invoke("demo", "-o", ".")
    assert done.code == 2
    assert "model.safetensors: not the demo's: give another folder" in done.err
    assert [path.name for path in here.iterdir()] == ["model.safetensors"]
    assert (here / "model.safetensors").read_bytes() == before


# What is found before the work.

BAD = "bad.pt"
"""An input that no command can read: whoever speaks of the output has looked at it before."""

WRITING = [
    ("compress", BAD, "-o"),
    ("compress", BAD, "--html"),
    ("finetune", BAD, "--tokens", BAD, "-o"),
    ("calibrate", BAD, "--tokens", BAD, "-o"),
    ("sweep", BAD, "--budgets", "1M", "-o"),
    ("sweep", BAD, "--budgets", "1M", "-o", "x.csv", "--plot"),
    ("import", BAD, "-o"),
    ("export", BAD, "--as", "rans", "-o"),
    ("unpack", BAD, "-o"),
    ("inspect", BAD, "--html"),
    ("eval", BAD, "--tokens", BAD, "--tokenizer", BAD, "--ttt", "--resume"),
    ("eval", BAD, "--tokens", BAD, "--tokenizer", BAD, "--ttt", "--save-curve"),
]


@pytest.mark.parametrize("words", WRITING, ids=" ".join)
def test_an_output_that_cannot_be_is_found_before_the_work(
    invoke: Invoke, here: Path, words: tuple[str, ...]
) -> None:
    (here / BAD).write_bytes(b"this is nothing at all")
    (here / "folder.csv").mkdir()
    missing = invoke(*words, "missing/out.svg")
    assert (missing.code, missing.err) == (
        1,
        "artpack: missing/out.svg: no such file or directory\n",
    )
    below = invoke(*words, f"{BAD}/out.svg")
    assert (below.code, below.err) == (1, f"artpack: {BAD}/out.svg: not a directory\n")
    folder = invoke(*words, "folder.csv")
    assert folder.code == 2
    assert "'folder.csv' is a directory" in folder.err
    assert sorted(path.name for path in here.iterdir()) == [BAD, "folder.csv"]


FOLDERS = [
    ("train", "--data", ".", "-o"),
    ("tokenize", BAD, "-o"),
    ("demo", "-o"),
]


@pytest.mark.parametrize("words", FOLDERS, ids=" ".join)
def test_so_is_a_folder_that_cannot_be(invoke: Invoke, here: Path, words: tuple[str, ...]) -> None:
    (here / BAD).write_bytes(b"this is nothing at all")
    done = invoke(*words, f"{BAD}/out")
    assert (done.code, done.err) == (1, f"artpack: {BAD}/out: not a directory\n")


@pytest.mark.parametrize("words", [w for w in WRITING if w[0] != "export"])
def test_no_output_replaces_an_input(invoke: Invoke, here: Path, words: tuple[str, ...]) -> None:
    (here / BAD).write_bytes(b"this is nothing at all")
    (here / "link.svg").symlink_to(BAD)
    (here / "hard.svg").hardlink_to(here / BAD)
    for name in (BAD, "link.svg", "hard.svg"):
        done = invoke(*words, name)
        assert done.code == 2
        assert f"{name}: would replace its " in done.err
    assert (here / BAD).read_bytes() == b"this is nothing at all"


def test_nor_the_shards_of_one(invoke: Invoke, here: Path) -> None:
    write_model(here / "m" / "model.safetensors", 1.0)
    done = invoke("compress", "m", "-o", "m/model.safetensors")
    assert (done.code, "would replace its checkpoint" in done.err) == (2, True)
    (here / "m" / "model.safetensors").rename(here / "m" / "shard.safetensors")
    index = {"weight_map": dict.fromkeys(("fc.weight", "bias"), "shard.safetensors")}
    (here / "m" / "model.safetensors.index.json").write_text(json.dumps(index))
    for words in (("m",), ("m/model.safetensors.index.json",)):
        done = invoke("compress", *words, "-o", "m/shard.safetensors")
        assert (done.code, "would replace its checkpoint" in done.err) == (2, True)
        assert invoke("compress", *words, "-o", "m/new.artpack", *FAST).code == 0


def test_nor_the_tokens_that_a_pattern_names(invoke: Invoke, here: Path) -> None:
    (here / "val_0.bin").write_bytes(b"tokens")
    (here / "val[1].bin").write_bytes(b"tokens")
    (here / BAD).write_bytes(b"weights")
    for pattern, name in (("val_*.bin", "val_0.bin"), ("val[1].bin", "val[1].bin")):
        done = invoke("calibrate", BAD, "--tokens", pattern, "-o", name)
        assert (done.code, f"{name}: would replace its tokens" in done.err) == (2, True)


def test_nor_does_export(invoke: Invoke, here: Path) -> None:
    (here / "m.ptz").write_bytes(write_container(make("torch-zstd"), "torch-zstd"))
    assert invoke("import", "m.ptz", "--profile", "fast").code == 0
    done = invoke("export", "m.artpack", "--as", "torch-zstd", "-o", "m.artpack")
    assert (done.code, "m.artpack: would replace its artifact" in done.err) == (2, True)


# What is no file.


def test_a_fifo_gets_the_artifact(invoke: Invoke, here: Path) -> None:
    write_model(here / "m.safetensors", 1.0)
    os.mkfifo("fifo")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((here / "fifo").read_bytes()))
    reader.start()
    done = invoke("compress", "m.safetensors", *FAST, "-o", "fifo")
    reader.join()
    assert done.code == 0, done.err
    assert stat.S_ISFIFO((here / "fifo").stat().st_mode)
    assert invoke("compress", "m.safetensors", *FAST, "-o", "a.artpack").code == 0
    assert read == [(here / "a.artpack").read_bytes()]


def test_a_full_disk_is_one_line_that_names_the_file(invoke: Invoke, artifact: Path) -> None:
    full = artifact.with_name("w.pt")
    full.symlink_to("/dev/full")
    done = invoke("unpack", artifact, "-o", full)
    assert (done.code, done.err) == (1, f"artpack: {full}: no space left on device\n")
    assert full.is_symlink()
    assert stat.S_ISCHR(Path("/dev/full").stat().st_mode)


def test_links_are_followed_and_modes_are_kept(invoke: Invoke, artifact: Path, here: Path) -> None:
    (here / "real.pt").write_bytes(b"old")
    (here / "real.pt").chmod(0o600)
    (here / "w.pt").symlink_to("real.pt")
    assert invoke("unpack", artifact, "-o", "w.pt").code == 0
    assert (here / "w.pt").is_symlink()
    assert stat.S_IMODE((here / "real.pt").stat().st_mode) == 0o600
    assert torch.load("real.pt", weights_only=True).keys() == {"fc.weight", "bias"}


def test_what_goes_to_standard_output_goes_there_alone(artifact: Path) -> None:
    command = [sys.executable, "-m", "artpack_cli", "inspect", str(artifact), "--html"]
    done = subprocess.run([*command, "/dev/stdout"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("<!doctype html>")
    assert done.stdout.rstrip().endswith("</html>")
    assert done.stderr == "/dev/stdout: written\n"
    with Path("page").open("w") as file:
        subprocess.run([*command, "/dev/stdout"], stdout=file, stderr=file, check=True)
    assert Path("page").read_text() == done.stdout + done.stderr


# What other tools read.


def test_unpacked_safetensors_say_that_they_are_of_torch(invoke: Invoke, artifact: Path) -> None:
    assert invoke("unpack", artifact, "-o", "w.safetensors").code == 0
    with safetensors.safe_open("w.safetensors", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        ({"__metadata__": torch.ones(2)}, "'__metadata__' names no tensor in safetensors"),
        ({"z": torch.ones(2, dtype=torch.complex128)}, "'z': safetensors has no torch.complex128"),
    ],
)
def test_what_safetensors_has_no_place_for_is_refused(
    invoke: Invoke, weights: dict[str, torch.Tensor], words: str
) -> None:
    artpack.save(weights, "odd.artpack", recipe="lossless")
    done = invoke("unpack", "odd.artpack", "-o", "w.safetensors")
    assert (done.code, done.err) == (2, f"artpack: {words}: unpack to a .pt file\n")
    assert invoke("unpack", "odd.artpack", "-o", "w.pt").code == 0
    back = torch.load("w.pt", weights_only=True)
    assert all(torch.equal(back[name], weight) for name, weight in weights.items())


# One place that writes.

WRITERS = {"write_text", "write_bytes", "savefig", "save_file", "tofile", "savez", "dump"}


def _opens_to_write(call: ast.Call) -> bool:
    modes = [
        a.value
        for a in [*call.args, *(k.value for k in call.keywords)]
        if isinstance(a, ast.Constant) and isinstance(a.value, str)
    ]
    return any(mode and set(mode) <= set("rwxabt+") and set(mode) & set("wxa+") for mode in modes)


def test_nothing_else_writes_files() -> None:
    """Pictures are drawn, and archives made, in memory or in folders of their own."""
    found = set()
    for package in (artpack, artpack_cli):
        assert package.__file__
        folder = Path(package.__file__).parent
        for path in folder.rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if not isinstance(node, ast.Call):
                    continue
                name = getattr(node.func, "attr", getattr(node.func, "id", ""))
                opens = name in {"open", "fdopen"} and _opens_to_write(node)
                if name in WRITERS or opens:
                    found.add(f"{path.relative_to(folder)}: {name}")
    assert found == {
        "system/atomic.py: fdopen",
        "render/plot.py: savefig",
        "evaluation/black_box/processes.py: open",
        "evaluation/black_box/worker.py: write_text",
    }
