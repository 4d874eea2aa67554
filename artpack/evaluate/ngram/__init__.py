"""
Mixtures of a model with n-grams of what has been scored.

:mod:`~artpack.evaluate.ngram.counts` counts exactly, :mod:`~artpack.evaluate.ngram.mixing`
turns counts and the model's distribution into one distribution that sums to one, and
:mod:`~artpack.evaluate.ngram.published` shows what the rule of PR 826 does with true
counts, and what its hashed lookup claims instead.
"""
