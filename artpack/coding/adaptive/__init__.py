"""
Backward-adaptive arithmetic coding of matrices of symbols, in integers alone.

``tables`` derives the constants, ``kernels`` codes one matrix, ``stream`` a list of them.
"""
