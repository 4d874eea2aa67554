"""Golden folders checked: ``python tests/golden.py DIR...`` runs what lives in ``golden/``."""

import runpy
from pathlib import Path

if __name__ == "__main__":
    runpy.run_path(str(Path(__file__).with_suffix("")), run_name="__main__")
