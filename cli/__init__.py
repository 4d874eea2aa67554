"""The command line: ``artpack``. Everything it can do, the library can do without it."""
