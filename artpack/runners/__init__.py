"""Models that can be run, calibrated and scored, whatever they are made of."""
