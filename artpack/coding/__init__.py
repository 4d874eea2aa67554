"""
Symbols to bytes and back, without loss.

A ``pipeline`` is a layout, a symbol coder and a codec in a row; the ``auction``
finds out which pipeline takes the fewest bytes.
"""
