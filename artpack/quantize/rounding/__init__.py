"""Rounding: from weights to the points of a grid."""
