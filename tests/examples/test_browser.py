"""The decoder in WebAssembly shows in a browser what ``inspect`` says."""

import shutil
import subprocess
import threading
from functools import partial
from html import unescape
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from artpack.artifact.describe import describe
from artpack.artifact.reader import open_artifact
from artpack.portable.c_source import c_source
from tests.artifact.golden_cases import FOLDER

PAGE = Path(__file__).parents[2] / "examples" / "browser" / "index.html"
README = PAGE.parents[1] / "README.md"


def build_command() -> list[str]:
    """Return what the README says."""
    text = README.read_text(encoding="utf-8").replace("\\\n", " ")
    [command] = [line for line in text.splitlines() if line.startswith("clang --target=wasm32")]
    return command.split()


class Quiet(SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - it is named so
        pass


def rows_of(page: str) -> list[list[str]]:
    table = page.partition("<table")[2].partition("</table>")[0]
    rows = [row.split("<td>")[1:] for row in table.split("<tr>")[2:]]
    return [[unescape(cell.partition("</td>")[0]) for cell in row] for row in rows]


@pytest.mark.slow
def test_a_browser_shows_what_is_in_an_artifact(tmp_path: Path) -> None:
    browser = shutil.which("chromium")
    if browser is None or shutil.which("clang") is None:
        pytest.skip("there is no chromium or no clang")
    (tmp_path / "decoder.c").write_text(c_source(), encoding="ascii")
    built = subprocess.run(build_command(), cwd=tmp_path, capture_output=True, check=False)
    if built.returncode:
        pytest.skip("clang does not build for WebAssembly here")
    shutil.copy(PAGE, tmp_path)
    artifact = FOLDER / "corrected.artpack"
    shutil.copy(artifact, tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/index.html?artifact={artifact.name}"
    options = ("--headless", "--no-sandbox", "--virtual-time-budget=20000", "--dump-dom")

    shown = subprocess.run(
        [browser, *options, f"--user-data-dir={tmp_path / 'user'}", address],
        capture_output=True,
        check=True,
        text=True,
        timeout=120,
    )

    server.shutdown()
    server.server_close()
    with open_artifact(artifact) as opened:
        rows = describe(opened, entropy=False).tensors
        streams = len(opened.header.plan.streams)
    found = rows_of(shown.stdout)
    assert [(row[0], row[2], row[3]) for row in found] == [
        (row.name, "x".join(map(str, row.shape)), f"{row.weights:,}") for row in rows
    ]
    assert all(
        abs(int(cells[4].replace(",", "")) - row.stored_bytes) <= streams
        for cells, row in zip(found, rows, strict=True)
    )
