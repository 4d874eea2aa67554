"""The page of ``artpack inspect --html``."""
