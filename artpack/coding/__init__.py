"""
Symbols to bytes and back, without loss.

A ``pipeline`` is a layout, a symbol coder and a codec in a row; ``search`` finds
the one that takes the fewest bytes.
"""
