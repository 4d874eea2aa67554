"""The page of ``artpack compress --html``."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from artpack_cli.page.compress import compress_page

import artpack
from artpack.pack.budget import Trial, loss_per_byte
from tests.cli.conftest import Run
from tests.cli.test_page import Page
from tests.evaluation.conftest import train_tokenizer
from tests.small_model import write_small_model

HOSTILE = "<script>alert()</script>\x1b"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> artpack.CompressResult:
    """Make a file to a budget, its losses measured by role."""
    folder = tmp_path_factory.mktemp("small")
    write_small_model(folder, train_tokenizer(), 512)
    return artpack.compress(
        folder / "ckpt.pt",
        budget=40_000,
        calibration_tokens=folder / "calib.bin",
        by_role=True,
        profile="fast",
    )


def table(page: Page, first: str) -> list[dict[str, str]]:
    """Return the rows below a heading, by column."""
    start = next(i for i, row in enumerate(page.rows) if row and row[0] == first)
    heads = page.rows[start]
    rows = []
    for row in page.rows[start + 1 :]:
        if len(row) != len(heads):
            break
        rows.append(dict(zip(heads, row, strict=True)))
    return rows


def count(cell: str) -> int:
    return int(cell.replace(",", ""))


def test_the_bytes_add_up_and_each_bar_begins_where_the_last_ends(
    made: artpack.CompressResult,
) -> None:
    source = compress_page("a.artpack", made)
    *parts, total = table(Page(source), "role")
    assert sum(count(row["bytes"]) for row in parts) == made.size_bytes == count(total["bytes"])
    bars = re.findall(r'<rect x="([\d.]+)" width="([\d.]+)" height="1"/>', source)
    ends = [0.0]
    for (x, width), row in zip(bars, parts, strict=True):
        assert float(x) == pytest.approx(ends[-1], abs=0.002)
        assert float(width) == pytest.approx(
            1000 * count(row["bytes"]) / made.size_bytes, abs=0.002
        )
        ends.append(float(x) + float(width))
    assert ends[-1] == pytest.approx(1000, abs=0.01)


def test_each_role_that_was_quantized_has_a_loss_of_its_own(made: artpack.CompressResult) -> None:
    roles = {row["role"]: row for row in table(Page(compress_page("a", made)), "role")}
    sizes = {role.name: role.weights for role in made.description.roles}
    assert len(made.role_losses) > 3
    assert all(loss > 0 for loss in made.role_losses.values())
    for name, loss in made.role_losses.items():
        assert float(roles[name]["loss alone"]) == pytest.approx(loss, abs=1e-6)
        worth = 1000 * loss_per_byte(loss, sizes[name])
        assert float(roles[name]["another KB saves"]) == pytest.approx(worth, abs=1e-7)
    assert float(roles["total"]["loss alone"]) == pytest.approx(made.loss, abs=1e-6)


def test_the_search_shows_every_trial_and_the_chosen_one(made: artpack.CompressResult) -> None:
    page = Page(compress_page("a", made))
    trials = table(page, "kind")
    assert [count(row["bytes"]) for row in trials] == sorted(t.file_bytes for t in made.trials)
    (chosen,) = (row for row in trials if row["kind"] == "chosen")
    assert count(chosen["bytes"]) == made.size_bytes
    assert float(chosen["loss, nats per token"]) == pytest.approx(made.loss, abs=1e-6)
    assert len([tag for tag, _ in page.elements if tag == "circle"]) == len(made.trials)


def test_measured_losses_are_shown_as_they_are(made: artpack.CompressResult) -> None:
    assert made.result.fit is not None
    trials = (Trial(-3.0, 500, 0.0), Trial(-2.0, 400, 0.01), Trial(-1.0, 300, 0.05))
    fit = replace(made.result.fit, chosen=trials[1], trials=trials)
    page = Page(compress_page("a", replace(made, result=replace(made.result, fit=fit))))
    assert [row["loss"] for row in table(page, "kind")] == ["0.050000", "0.010000", "0.000000"]
    assert len([tag for tag, _ in page.elements if tag == "circle"]) == 2


def test_a_fixed_recipe_has_no_search_and_no_losses() -> None:
    made = artpack.compress({HOSTILE: torch.ones(64, 64)}, recipe="int8", profile="fast")
    page = Page(compress_page(HOSTILE, made))
    assert "circle" not in page.inside
    assert not made.role_losses
    assert "alert()" not in "".join(page.inside["script"])
    assert "loss alone" not in next(row for row in page.rows if row[0] == "role")


def test_the_command_writes_it(run: Run, checkpoint: Path) -> None:
    done = run("compress", checkpoint.name, "-o", "a.bin", "--html", "a.html", "--profile", "fast")
    assert done.returncode == 0, done.stderr
    page = Page(checkpoint.with_name("a.html").read_text())
    assert page.inside["h1"] == ["a.bin"]
