"""The container of PR 826."""
