"""Codecs that seldom win a stream."""
