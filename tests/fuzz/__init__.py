"""Readers fed with files that were damaged on purpose, by processes that may die of it."""
