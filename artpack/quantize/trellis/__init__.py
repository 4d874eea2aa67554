"""Viterbi searches over the points of a trellis."""
