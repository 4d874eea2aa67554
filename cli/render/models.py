"""The output of ``artpack models``."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from .tables import print_json, print_table

if TYPE_CHECKING:
    from artpack.models.presets import Preset


def report(presets: "Mapping[str, Preset]", counts: Mapping[str, int], *, as_json: bool) -> None:
    """Print the presets, with the parameters that they have and those that were published."""
    if as_json:
        print_json(
            {
                name: {
                    "parameters": counts[name],
                    "published_parameters": preset.parameters,
                    "about": preset.remark,
                    "config": preset.config.to_json(),
                }
                for name, preset in presets.items()
            }
        )
        return
    rows = [
        (name, f"{counts[name]:,}", f"{preset.parameters:,}", preset.remark)
        for name, preset in presets.items()
    ]
    columns = ("model", "parameters", "published", "what it is")
    print_table(columns, rows, text=("model", "what it is"))
