"""A make-believe accelerator, and artpack's jobs on it."""
