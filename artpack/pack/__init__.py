"""A checkpoint and a recipe to the content of an artifact, to a budget if one is given."""
