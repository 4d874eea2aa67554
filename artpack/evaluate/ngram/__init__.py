"""
Mixes a model with what followed the same contexts earlier in the stream.

:mod:`~artpack.evaluate.ngram.counts` counts exactly, :mod:`~artpack.evaluate.ngram.mixing`
turns counts and the model's distribution into one distribution that sums to one, and
:mod:`~artpack.evaluate.ngram.published` shows what the rule of seed 826 does with true
counts, and what its hashed lookup claims instead.
"""
