"""
Mixtures of a model with n-grams of what has been scored.

:mod:`~artpack.evaluation.ngram.counts` counts exactly, :mod:`~artpack.evaluation.ngram.mixing`
turns counts and the model's distribution into one distribution that sums to one, and
:mod:`~artpack.evaluation.ngram.published` shows what the rule of PR 826 does with true
counts, and what its hashed lookup claims instead.
"""
