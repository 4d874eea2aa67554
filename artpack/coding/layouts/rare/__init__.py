"""Layouts that seldom win a stream."""
