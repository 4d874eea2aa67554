"""Losses and scores of models over windows."""
