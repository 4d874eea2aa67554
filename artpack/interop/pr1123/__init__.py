"""The container of PR 1123."""
