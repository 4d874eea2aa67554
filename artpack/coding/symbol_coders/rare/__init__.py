"""Symbol coders that seldom win a stream."""
