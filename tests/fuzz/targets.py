"""All targets by name."""

from tests.fuzz import artifacts, containers, files, stages, texts
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for module in (artifacts, stages, containers, files, texts)
    for target in module.TARGETS
}
