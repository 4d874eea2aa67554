"""
Evaluation: token streams, the bytes that they stand for, windows, losses, scores.

Data goes left to right: :mod:`~artpack.evaluation.tokens.stream` reads tokens and counts their
bytes, :mod:`~artpack.evaluation.windows.placements` says what is run and what of it is scored,
and :mod:`~artpack.evaluation.scoring.score` runs it.
"""
