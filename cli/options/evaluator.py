"""Options of ``artpack audit`` that are for somebody's evaluator, and their use."""

from typing import Any

import click

import artpack

from .groups import option_of, together
from .shared import POSITIVE

OPEN = click.FloatRange(0, 1, min_open=True, max_open=True)
EVALUATOR = "For somebody's evaluator, in the place of ARTIFACT"
CHOOSE = {"evaluator", "evaluator_command"}
PLAN = {"confidence", "share", "sums", "bound_nats", "keep_documents", "seed"}
OWN = CHOOSE | PLAN - {"seed"} | {"distribution", "vocab_size", "reference_tokens"}
"""What is for evaluators alone."""
FOR_EVALUATORS = OWN | {
    *("tokens", "tokenizer", "sidecar", "train_tokens", "limit_tokens", "seed"),
    *("as_json", "html"),
}
"""What is asked of an evaluator."""

of_evaluator = option_of(EVALUATOR)
evaluator_options = together(
    of_evaluator(
        "--evaluator",
        metavar="MODULE:FUNCTION",
        help="Takes an array of token ids, returns the loss of each but the first in nats.",
    ),
    of_evaluator(
        "--evaluator-command",
        metavar="COMMAND",
        help="The same as a program: reads {tokens}, a .npy, and writes {losses}, another.",
    ),
    of_evaluator(
        "--distribution",
        metavar="MODULE:FUNCTION",
        help="Takes token ids, returns the losses of all tokens that may come next.",
    ),
    of_evaluator("--vocab-size", type=POSITIVE, help="Without --tokenizer: ids are below this."),
    of_evaluator(
        "--confidence",
        type=OPEN,
        default=0.95,
        show_default=True,
        help="Try as many places as find a leak with this chance.",
    ),
    of_evaluator(
        "--share",
        type=OPEN,
        default=0.01,
        show_default=True,
        help="The leak shows at this share of the places.",
    ),
    of_evaluator(
        "--sums",
        type=click.IntRange(min=0),
        help="At how many places to try every token, a run each; by default 2 with up to 256.",
    ),
    of_evaluator(
        "--bound-nats",
        type=click.FloatRange(0, 1, max_open=True),
        default=0.0,
        show_default=True,
        help="How much losses may change by themselves, for low precision.",
    ),
    of_evaluator(
        "--keep-documents",
        is_flag=True,
        help="Leave documents' starts where they are, for evaluators that sort documents.",
    ),
    of_evaluator(
        "--reference-tokens",
        metavar="FILE",
        help="Fresh documents of the same source: is the text scored better?",
    ),
)


def audit_evaluator(given: dict[str, Any], progress: "artpack.Progress") -> Any:
    """
    Examine an evaluator as the command line says.

    Args:
        given: What stands there, by name.
        progress: Told how far it is.

    Returns:
        The report.

    """
    if "tokens" not in given:
        raise click.UsageError("Missing option '--tokens'.")
    values = {name: value for name, value in given.items() if name not in {"as_json", "html"}}
    plan = {name: values.pop(name) for name in given.keys() & PLAN}
    return artpack.audit(plan=artpack.ExaminationPlan(**plan), progress=progress, **values)
