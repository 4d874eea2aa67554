"""How much each tensor may cost: sensitivity, allocation, and fitting a file to its budget."""
