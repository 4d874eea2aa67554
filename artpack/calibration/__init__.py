"""Calibrations: statistics of the data that quantizers need, their collection, their file."""
