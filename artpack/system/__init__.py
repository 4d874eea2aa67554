"""The machine: whole writes, threads and processes."""
