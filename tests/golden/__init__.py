"""Golden cases: what other programs computed, the checks of them, and how cases were made."""
