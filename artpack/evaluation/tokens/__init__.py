"""Token streams and the bytes that their tokens stand for."""
