"""The jobs of the README, each a single call; ``artpack`` exports them."""
