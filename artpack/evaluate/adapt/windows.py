"""The windows that a recipe scores."""

from artpack.errors import UsageError
from artpack.evaluate.adapt.recipe import OverStream, Recipe
from artpack.evaluate.documents import by_document
from artpack.evaluate.placements import place
from artpack.evaluate.sliding import chunked
from artpack.evaluate.stream import Stream
from artpack.evaluate.windows import WindowPlan


def plan_of(recipe: Recipe, stream: Stream) -> WindowPlan:
    """
    Place a recipe's windows.

    Args:
        recipe: Its window and stride are given.
        stream: The tokens.

    Returns:
        All windows, those of documents in the stream's order.

    Raises:
        UsageError: Chunk, window and stride do not fit each other.

    """
    window, bos_id = recipe.window_tokens, stream.bos_id
    assert window is not None
    if not isinstance(recipe, OverStream):
        if recipe.chunk_tokens > window:
            raise UsageError(f"chunk_tokens {recipe.chunk_tokens} is more than a window, {window}")
        return by_document(stream.ids, window, recipe.chunk_tokens, place=chunked, bos_id=bos_id)
    assert recipe.stride_tokens is not None
    return place(recipe.placement, stream.ids, window, recipe.stride_tokens, bos_id=bos_id)
