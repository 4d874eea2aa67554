"""Tables that stages are looked up in, and the JSON of a stage."""

import difflib
from collections.abc import Iterable, Mapping
from typing import TypeAlias, TypeVar, cast

from artpack.errors import UnknownStageError, UsageError
from artpack.stages.protocols import Config, JsonValue, Stage
from artpack.system.jit import portable

StageT = TypeVar("StageT", bound=Stage)
Table: TypeAlias = Mapping[str, type[StageT]]


def _tabulate(stages: Iterable[type[StageT]]) -> Table[StageT]:
    return {stage.stage_id: stage for stage in stages}


@portable(by=_tabulate)
def by_id(stages: Iterable[type[StageT]]) -> Table[StageT]:
    """
    Make a lookup table of stages.

    Args:
        stages: The classes, each with its own ``stage_id``.

    Returns:
        ``stage_id`` to class, in the order given.

    Raises:
        UsageError: Two stages share an id.

    """
    table: dict[str, type[StageT]] = {}
    for stage in stages:
        if stage.stage_id in table:
            raise UsageError(f"stage id {stage.stage_id!r} is taken by {table[stage.stage_id]}")
        table[stage.stage_id] = stage
    return table


def stage_to_json(stage: Stage) -> Config:
    """
    Return a stage's id and configuration as one JSON object.

    Args:
        stage: Any stage.

    Returns:
        The configuration with the key ``id`` in front.

    """
    return {"id": stage.stage_id, **stage.config()}


def stage_from_json(table: Table[StageT], value: JsonValue, *, where: str = "") -> StageT:
    """
    Rebuild a stage from what :func:`stage_to_json` made.

    Args:
        table: Where to look the id up.
        value: An object with the key ``id`` and the stage's fields, or a bare id.
        where: Path of the value, for messages.

    Returns:
        The stage.

    Raises:
        UnknownStageError: No stage of the table has that id.
        UsageError: The value has no id, or its fields do not fit the stage.

    """
    config: JsonValue = {"id": value} if isinstance(value, str) else value
    prefix = f"{where}: " if where else ""
    if not isinstance(config, dict) or not isinstance(config.get("id"), str):
        raise UsageError(f"{prefix}a stage is an object with an 'id', got {value!r}")
    stage_id = cast("str", config["id"])
    if stage_id not in table:
        raise UnknownStageError(f"{prefix}unknown stage {stage_id!r}{nearest(stage_id, table)}")
    fields = {key: item for key, item in config.items() if key != "id"}
    return table[stage_id].from_config(fields, where=where)


def nearest(word: str, known: Iterable[str]) -> str:
    """
    Say which known word was probably meant.

    Args:
        word: What was given.
        known: What would have been right.

    Returns:
        A remedy to append to an error message.

    >>> nearest("brotly", ["brotli", "zstd"])
    " (did you mean 'brotli'?)"
    >>> nearest("x", ["brotli", "zstd"])
    ' (known: brotli, zstd)'

    """
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f" (did you mean {close[0]!r}?)" if close else f" (known: {', '.join(names)})"
