"""
The artifact: one file, and everything that reads or writes it.

docs/FORMAT.md is the law. ``writer`` puts the pieces together, ``reader`` takes
them apart without trusting any of them, ``describe`` says where the bytes went
and ``verify`` proves that they are sound.
"""
