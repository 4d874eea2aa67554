"""Options that say what is scored and in which windows; eval and audit share them."""

import click

from artpack.evaluation.ngram.mixing import MIXERS
from artpack.evaluation.windows.placements import PLACEMENTS

from .shared import EXISTING

tokens_option = click.option(
    "--tokens",
    required=True,
    metavar="FILE",
    help="What to score: token shards (quote a pattern with *), .npy arrays, or a .txt"
    " of UTF-8 text with NUL between its documents.",
)
tokenizer_option = click.option(
    "--tokenizer", type=EXISTING, metavar="FILE", help="The SentencePiece model of the tokens."
)
sidecar_option = click.option(
    "--sidecar", metavar="FILE", help="Shards of bytes per token; CaseOps tokens need them."
)
window_option = click.option(
    "--window-tokens",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    help="Tokens a window; take what the model was trained with.",
)
stride_option = click.option(
    "--stride-tokens",
    type=click.IntRange(min=1),
    help="Scored tokens a window, the others are context; by default all.",
)
placement_option = click.option(
    "--placement",
    type=click.Choice(list(PLACEMENTS)),
    default="sliding",
    show_default=True,
    help="Where windows lie: over the stream, in each document, or as a published"
    " system placed them.",
)
faithful_option = click.option(
    "--faithful",
    is_flag=True,
    help="Keep the published model's defects, see docs/RECIPES.md; by default it runs as meant.",
)
ngram_option = click.option(
    "--ngram",
    is_flag=False,
    flag_value="learned",
    type=click.Choice(list(MIXERS)),
    metavar="[learned|published]",
    help="Mix the model with what followed the same 1 to 8 tokens before, as one"
    " distribution; 'published' weighs as PR 826 does.",
)
