"""
Examines an evaluator of which nothing is known but the losses that it returns.

It is run in fresh processes, on the text and on altered texts of full length. Losses
before an alteration must not move, the probabilities of all tokens that may come next
must sum to 1, and the same text must get the same losses whenever it is asked for.
docs/AUDIT.md says what is tried, what is found by it, and what cannot be seen.
"""
