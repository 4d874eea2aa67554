"""
The notebooks of examples/, run from their first cell to their last.

A cell that fails ends it. With ``--write`` outputs are kept in the files::

    python tests/notebooks.py
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"


def main() -> None:
    """Run all of them."""
    for path in sorted(EXAMPLES.glob("*.ipynb")):
        notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
        NotebookClient(notebook, timeout=600, kernel_name="python3").execute()
        if sys.argv[1:] == ["--write"]:
            for cell in notebook.cells:
                cell.metadata.pop("execution", None)  # when it ran
            nbformat.write(notebook, path)  # type: ignore[no-untyped-call]
        print(f"{path.name}: {len(notebook.cells)} cells ran")


if __name__ == "__main__":
    main()
