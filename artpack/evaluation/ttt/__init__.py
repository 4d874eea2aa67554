"""Evaluation that adapts to what it has scored: test-time training, score first."""
