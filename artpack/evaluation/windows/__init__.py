"""Windows: which tokens are run, and which of them are scored."""
