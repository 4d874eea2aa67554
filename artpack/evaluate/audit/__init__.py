"""
Proves that a score is legal, or says what it breaks and where.

The evaluation is run as it is, then again on streams whose later tokens are replaced:
whatever changes earlier distributions has seen what it must not see. The rest is read
from whole distributions at sampled targets, from the journal that the evaluation wrote,
and from the text. docs/RECIPES.md says what each condition means.
"""
