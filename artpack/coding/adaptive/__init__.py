"""
Backward-adaptive coding of matrices of symbols, in integers alone.

::

    matrices     all of it, both ways
    encoder      compiled: points, classes of rows, tables and codes; then lanes, backwards
    decoder      compiled
    portable     the same decoder in numpy alone; with arrangement, stream and tables it
                 needs nothing else
    arrangement  which matrices stand where in wide rows
    stream       the bytes, and classes of rows
    model        compiled: what is known of columns
    frequencies  compiled: frequencies, refined from counts
    lanes        compiled: interleaved rANS
    tables       constants
"""
