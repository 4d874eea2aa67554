"""
Tries to find what is illegal about a score, and says what it breaks and where.

The evaluation is run as it is, then again on streams whose later tokens are replaced:
whatever changes earlier distributions has seen what it must not see. The rest is read
from whole distributions at sampled targets, from the journal that the evaluation wrote,
and from the text. It is a sample: what it finds is so, what it does not find may be there
all the same, and :meth:`~artpack.evaluation.audit.sample.Sample.missed` says how likely.
docs/RECIPES.md says what each condition means.
"""
