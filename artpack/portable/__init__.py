"""
Decoders that need the standard library and numpy alone, and the making of bundles out of them.

::

    cbor       the header's encoding
    numbers    decoded numbers as arrays or tensors
    reader     an artifact to its tensors
    linker     what a function needs of this package, in one module
    bundle     one module for one artifact, small
    c_source   the same for all artifacts in C99, a second implementation of docs/FORMAT.md
"""
