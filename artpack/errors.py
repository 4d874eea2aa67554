"""
Every error that artpack raises on purpose.

::

    ArtpackError
      UsageError             the caller asked for something impossible
      CheckpointError        the input is not a usable checkpoint
      RecipeError            the recipe is wrong (names the file, the key, the rule)
      ScoreError             a score is no number (names the token)
      EvaluatorError         somebody's evaluator failed (says what it said last)
      BudgetError            nothing fits the budget (says what would)
      ArtifactError          the artifact is not readable
        TruncatedError       its bytes end early
        CorruptError         its bytes disagree with themselves
        VersionError         it was written by a newer artpack
        UnknownStageError    it names a stage that this artpack does not have

Messages are one lower-case line: what is wrong, where, and what to do. Names of arguments
stand in backticks, so that the command line can put its flags there.
"""


class ArtpackError(Exception):
    """Base of all errors that artpack raises on purpose."""


class UsageError(ArtpackError, ValueError):
    """The caller asked for something impossible; the message names the field and the remedy."""


class CheckpointError(ArtpackError):
    """The input is not a usable checkpoint; the message names the tensor."""


class RecipeError(ArtpackError):
    """The recipe is wrong; the message names the file and the key."""


class ScoreError(ArtpackError):
    """A score is no finite number; the message names the token, or the tensor to blame."""


class EvaluatorError(ArtpackError):
    """An evaluator that was to be examined failed; the message has the last thing that it said."""


class BudgetError(ArtpackError):
    """Nothing fits the budget; the message says the smallest size, or loss, that would."""


class ArtifactError(ArtpackError):
    """The artifact cannot be read."""

    def __str__(self) -> str:
        """Return the message; small decoders leave it out."""
        return super().__str__() or "the artifact is damaged"


class TruncatedError(ArtifactError):
    """The artifact ends early."""


class CorruptError(ArtifactError):
    """The artifact's bytes disagree with themselves."""


class VersionError(ArtifactError):
    """The artifact was written by a newer format version."""


class UnknownStageError(ArtifactError):
    """The artifact or recipe names a stage that this artpack does not have."""
