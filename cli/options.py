"""
Arguments and options that several commands share; each is spelled and explained once.

``ARTIFACT`` is a packed file, ``CHECKPOINT`` weights in any form that artpack reads.
"""

from pathlib import Path

import click

EXISTING = click.Path(exists=True, path_type=Path)

artifact_argument = click.argument("artifact", type=EXISTING)
checkpoint_argument = click.argument("checkpoint", type=EXISTING)
key_option = click.option(
    "--key", metavar="K", help="Where in the checkpoint the weights are, such as ema.model."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
