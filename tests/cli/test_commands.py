"""The commands as a user meets them: output, exit codes, one line for each mistake."""

import json
from pathlib import Path

import pytest
import safetensors.torch
import torch

import artpack
from tests.cli.conftest import Run


@pytest.fixture
def artifact(run: Run, checkpoint: Path) -> Path:
    done = run("compress", checkpoint.name, "-o", "a.bin", "--profile", "fast")
    assert done.returncode == 0, done.stderr
    return checkpoint.with_name("a.bin")


def test_the_help_of_compress_fits_on_a_screen(run: Run) -> None:
    lines = run("compress", "--help").stdout.splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 80
    assert [line for line in lines if line.endswith(":") and not line.startswith(" ")] == [
        "Weights:",
        "Data:",
        "Method:",
        "Size and loss:",
        "Output:",
    ]


def test_version_and_help(run: Run) -> None:
    assert run("--version").stdout.strip() == f"artpack, version {artpack.__version__}"
    listed = run("--help").stdout
    for command in ("compress", "inspect", "verify", "unpack", "recipes"):
        assert command in listed
        assert run(command, "--help").returncode == 0


def test_compress_prints_a_summary(run: Run, checkpoint: Path) -> None:
    done = run("compress", checkpoint.name, "--profile", "fast")
    assert done.returncode == 0
    assert done.stdout.startswith("ckpt.artpack: 24,704 -> ")
    assert checkpoint.with_suffix(".artpack").is_file()


def test_compress_as_json_has_every_number(run: Run, checkpoint: Path) -> None:
    summary = json.loads(run("compress", "ckpt.pt", "-o", "a.bin", "--json").stdout)
    size = checkpoint.with_name("a.bin").stat().st_size
    assert summary["bytes_out"] == size
    assert summary["bytes_in"] == 4 * (4 * 48 * 32 + 32)
    assert summary["bits_per_weight"] == pytest.approx(8 * size / summary["weights"])


def test_rules_that_matched_nothing_are_named(run: Run, checkpoint: Path) -> None:
    done = run("compress", "ckpt.pt", "--exclude", "norm", "--profile", "fast")
    assert "rules of int6 that matched nothing: vectors" in done.stderr
    assert "left out: norm" in done.stderr


def test_dry_run_writes_nothing_and_tells_the_bytes(run: Run, checkpoint: Path) -> None:
    args = ("compress", "ckpt.pt", "-o", "a.bin", "--profile", "fast")
    predicted = json.loads(run(*args, "--dry-run", "--json").stdout)
    assert not checkpoint.with_name("a.bin").exists()
    assert json.loads(run(*args, "--json").stdout)["bytes_out"] == predicted["bytes_out"]
    table = run(*args, "--dry-run").stdout
    assert "blocks.0.fc.weight" in table
    assert "nothing written" in table


def test_set_changes_the_recipe(run: Run, artifact: Path) -> None:
    run(
        "compress",
        "ckpt.pt",
        "-o",
        "b.bin",
        "--profile",
        "fast",
        "--set",
        "matrices.quantizer.bits=3",
    )
    grids = {row["grid"] for row in json.loads(run("inspect", "b.bin", "--json").stdout)["tensors"]}
    assert grids == {"int3", "fp16"}


def test_the_bytes_of_inspect_add_up_to_the_file(run: Run, artifact: Path) -> None:
    told = json.loads(run("inspect", "a.bin", "--json").stdout)
    total = sum(row["stored_bytes"] for row in told["tensors"]) + sum(told["overhead"].values())
    assert total == told["file_bytes"] == artifact.stat().st_size
    assert sum(row["share"] for row in told["tensors"]) < 1


def test_inspect_tables(run: Run, artifact: Path) -> None:
    table = run("inspect", "a.bin", "--sort", "bits", "--tensor", "fc").stdout
    assert "blocks.1.fc.weight" in table
    assert "blocks.1.proj.weight" not in table
    assert "tensors not shown" in table
    assert f"{artifact.stat().st_size:,}" in table
    markdown = run("inspect", "a.bin", "--markdown", "--sort", "name").stdout.splitlines()
    assert all(line.startswith("| ") and line.endswith(" |") for line in markdown)
    assert markdown[0].startswith("| tensor | shape |")


def test_inspect_says_what_it_does_not_know(run: Run, artifact: Path) -> None:
    quick, whole = run("inspect", "a.bin"), run("inspect", "a.bin", "--entropy")
    assert "--entropy decodes" in quick.stderr
    assert not whole.stderr
    told = [
        json.loads(run("inspect", "a.bin", "--json", *more).stdout) for more in ((), ("--entropy",))
    ]
    assert [one["shared_equally"] for one in told] == [True, False]
    totals = [sum(row["stored_bytes"] for row in one["tensors"]) for one in told]
    assert totals[0] == totals[1]


def test_inspect_writes_a_page(run: Run, artifact: Path) -> None:
    assert run("inspect", "a.bin", "--html", "a.html").stdout == "a.html: written\n"
    assert "blocks.0.fc.weight" in artifact.with_name("a.html").read_text()


def test_a_bad_expression_is_a_usage_error(run: Run, artifact: Path) -> None:
    done = run("inspect", "a.bin", "--tensor", "(")
    assert done.returncode == 2
    assert "--tensor" in done.stderr


def test_verify_a_sound_file(run: Run, artifact: Path) -> None:
    assert run("verify", "a.bin").stdout.startswith("a.bin: sound")
    told = json.loads(run("verify", "a.bin", "--against", "ckpt.pt", "--json").stdout)
    assert told["sound"]
    errors = {error["name"]: error["relative"] for error in told["errors"]}
    assert errors["norm"] == 0
    # Gaussian rows: a step of 0.4145 standard deviations costs 0.4145 / sqrt(12).
    assert errors["blocks.0.fc.weight"] == pytest.approx(0.1197, rel=0.05)
    assert "blocks.0.fc.weight" in run("verify", "a.bin", "--against", "ckpt.pt").stdout


def test_verify_names_every_fault(run: Run, artifact: Path) -> None:
    damaged = bytearray(artifact.read_bytes())
    damaged[-40] ^= 1
    artifact.write_bytes(damaged)
    done = run("verify", "a.bin")
    assert done.returncode == 1
    assert "CorruptError: the file's hash" in done.stderr
    assert "the checksum does not match" in done.stderr
    assert not json.loads(run("verify", "a.bin", "--json").stdout)["sound"]


def test_verify_against_another_checkpoint(run: Run, artifact: Path) -> None:
    torch.save({"norm": torch.ones(3)}, artifact.with_name("other.pt"))
    done = run("verify", "a.bin", "--against", "other.pt")
    assert done.returncode == 1
    assert "'norm' is [32], in the checkpoint [3]" in done.stderr
    assert "'blocks.0.fc.weight' is not in the checkpoint" in done.stderr


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
def test_unpacked_weights_are_the_dequantized_ones(run: Run, artifact: Path, name: str) -> None:
    assert run("unpack", "a.bin", "-o", name).stdout.startswith(f"{name}: 5 tensors")
    path = artifact.with_name(name)
    loaded = (
        torch.load(path, weights_only=True)
        if path.suffix == ".pt"
        else safetensors.torch.load_file(path)
    )
    expected = artpack.load(artifact)
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[key], expected[key]) for key in expected)


def test_unpack_to_another_dtype(run: Run, artifact: Path) -> None:
    run("unpack", "a.bin", "-o", "w.safetensors", "--dtype", "bf16")
    loaded = safetensors.torch.load_file(artifact.with_name("w.safetensors"))
    assert {tensor.dtype for tensor in loaded.values()} == {torch.bfloat16}


def test_recipes_are_listed(run: Run) -> None:
    assert "int6" in run("recipes").stdout
    assert "lossless" in [recipe["name"] for recipe in json.loads(run("recipes", "--json").stdout)]


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (("compress", "none.pt"), 2, "does not exist"),
        (("compress", "text.pt"), 1, "text.pt"),
        (("compress", "ckpt.pt", "--recipe", "int66"), 2, "did you mean 'int6'"),
        (("compress", "ckpt.pt", "--key", "ema"), 2, "ema"),
        (("compress", "ckpt.pt", "--include", "("), 2, "--include"),
        (("compress", "ckpt.pt", "--include", "zzz"), 2, "no tensor is left"),
        (("compress", "ckpt.pt", "-o", "no/such/a.bin"), 1, "no such file"),
        (("inspect", "text.pt"), 1, "text.pt: not an artpack artifact"),
        (("inspect", "text.pt", "--json", "--markdown"), 2, "exclude each other"),
        (("inspect", "text.pt", "--html", "x.html", "--sort", "name"), 2, "sorts itself"),
        (("compress", "ckpt.pt", "-o", "ckpt.pt"), 2, "would replace its checkpoint"),
        (("compress", "ckpt.pt", "--deadline-seconds", "nan"), 2, "0 or more seconds, got nan"),
        (("unpack", "text.pt", "-o", "w.pt"), 1, "not an artpack artifact"),
        (("unpack", "ckpt.pt", "-o", "w.bin"), 2, ".safetensors, .pt or"),
        (("verify", "text.pt"), 1, "CorruptError"),
        (("frobnicate",), 2, "No such command"),
    ],
)
def test_every_mistake_is_one_line_and_an_exit_code(
    run: Run, checkpoint: Path, args: tuple[str, ...], code: int, words: str
) -> None:
    checkpoint.with_name("text.pt").write_text("just some text, longer than a preamble" * 3)
    done = run(*args)
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert done.stderr.startswith("artpack: ")
    assert done.stderr.count("\n") == 1
