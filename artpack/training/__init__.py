"""
A small reference trainer, with the export grids in the loop.

::

    text ─► tokenize ─► shards ─► batches ─► loop ─► checkpoint ─► the rest of artpack
                                   recipe ───┘
"""
