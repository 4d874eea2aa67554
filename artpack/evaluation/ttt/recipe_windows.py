"""The windows that a recipe scores, and the documents that it scores them in."""

from random import Random

from artpack.errors import UsageError
from artpack.evaluation.tokens.documents import by_document, document_spans
from artpack.evaluation.tokens.stream import Stream
from artpack.evaluation.ttt.recipe import Lora, OverStream, Recipe
from artpack.evaluation.windows.placements import place
from artpack.evaluation.windows.plan import WindowPlan
from artpack.evaluation.windows.sliding import chunked


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
    if isinstance(recipe, Lora):
        if recipe.chunk_tokens > window:
            raise UsageError(f"chunk_tokens {recipe.chunk_tokens} is more than a window, {window}")
        spans = spans_of(recipe, stream)
        return by_document(stream.ids, window, recipe.chunk_tokens, place=chunked, spans=spans)
    assert isinstance(recipe, OverStream)
    assert recipe.stride_tokens is not None
    return place(recipe.placement, stream.ids, window, recipe.stride_tokens, bos_id=bos_id)


def spans_of(recipe: Lora, stream: Stream) -> list[tuple[int, int]]:
    """
    Find the documents that a recipe scores.

    Args:
        recipe: Which of them.
        stream: The tokens.

    Returns:
        First target and end of each document, in the stream's order; the next document's
        BOS is each one's last target.

    Source: PR 1934 for the draw, which is that of Python's ``random.sample``.

    """
    spans = document_spans(stream.ids[:-1], stream.bos_id)
    if recipe.drops_headless and spans and stream.ids[0] != stream.bos_id:
        spans = spans[1:]
    if recipe.document_share == 1 or not spans:
        return spans
    count = max(1, round(len(spans) * recipe.document_share))
    # The published draw; nothing here is secret.
    drawn = Random(recipe.document_seed).sample(range(len(spans)), count)  # noqa: S311
    return [spans[place] for place in sorted(drawn)]
