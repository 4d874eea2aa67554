"""Grids: what the symbols of a tensor stand for."""
