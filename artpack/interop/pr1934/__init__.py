"""The containers of PR 1934."""
