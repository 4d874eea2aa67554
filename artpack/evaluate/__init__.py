"""
Evaluation: token streams, the bytes that they stand for, windows, losses, scores.

Data goes left to right: :mod:`~artpack.evaluate.tokens.stream` reads tokens and counts their
bytes, :mod:`~artpack.evaluate.windows.placements` says what is run and what of it is scored,
and :mod:`~artpack.evaluate.scoring.score` runs it.
"""
