"""The container of PR 2086."""
