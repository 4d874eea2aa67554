"""All targets by name."""

from tests.fuzz import artifacts, containers, decoders, files, folders, stages, texts
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (artifacts, decoders, stages, containers, files, folders, texts)
    for target in module.TARGETS
}
