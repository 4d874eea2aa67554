"""A container into an artifact, and an artifact into a container: the same integers."""

from artpack.artifact.reader import Artifact
from artpack.checkpoint import from_state_dict
from artpack.checkpoint.banks import KINDS, by_layer
from artpack.checkpoint.selection import select
from artpack.coding.profiles import DEFAULT, Profile
from artpack.errors import UsageError
from artpack.interop.container import Container, StoredTensor
from artpack.pack.compress import Packed, compress
from artpack.pack.prepare import Prepared
from artpack.recipes.spec import PlanSpec
from artpack.stages import Config
from artpack.stages.progress import Progress

SPEC = PlanSpec("import", "everything as the container has it", ())


def repack(
    container: Container,
    *,
    sha256: str,
    model: Config | None = None,
    profile: Profile = DEFAULT,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Packed:
    """
    Pack a container's integers, unchanged.

    Args:
        container: The content.
        sha256: Of the container's file, in hexadecimal, for the artifact's provenance.
        model: Config of the model that the weights belong to, stored as it is.
        profile: How hard to look for small codings.
        jobs: Number of threads, None for one a core; the result does not depend on it.
        progress: Told after each group.

    Returns:
        The content of an artifact whose tensors are those that the container's own
        system loads.

    Raises:
        ArtifactError: A tensor of the container holds what it must not, a NaN for example.

    """
    prepared = {t.name: Prepared(t.quantizer, t.quantized) for t in container.tensors}
    with from_state_dict(container.weights()) as checkpoint:
        selection = select(checkpoint)
        tied = {tie.name for tie in selection.ties}
        return compress(
            checkpoint,
            selection,
            SPEC,
            prepared={name: tensor for name, tensor in prepared.items() if name not in tied},
            model=model,
            provenance={"container": container.format, "source_sha256": sha256},
            profile=profile,
            jobs=jobs,
            progress=progress,
        )


def from_artifact(artifact: Artifact, name: str) -> Container:
    """
    Take an artifact's integers, unchanged.

    Args:
        artifact: Open.
        name: The format that they are meant for.

    Returns:
        A container's content, banks opened, the tensors in the checkpoint's order.

    Raises:
        UsageError: Two names mean one tensor, for which no format has a place.
        ArtifactError: The artifact is damaged.

    """
    if artifact.header.ties:
        tie = artifact.header.ties[0]
        raise UsageError(
            f"{tie.name!r} is tied to {tie.target!r}, and no container knows ties:"
            " pack the checkpoint without the one or the other, see `exclude`"
        )
    for bank in artifact.header.banks:
        if bank.name not in KINDS:
            raise UsageError(f"{bank.name!r} is a stack of matrices, and no container knows those")
    plans = {plan.name: plan for plan in artifact.header.plan.tensors}
    opened = {bank.name: by_layer(bank) for bank in artifact.header.banks}
    names = [member for output in artifact.names for member in opened.get(output, (output,))]
    tensors = tuple(
        StoredTensor(n, plans[n].dtype, plans[n].quantizer, artifact.quantized(n)) for n in names
    )
    return Container(name, tensors, banked=bool(opened))
