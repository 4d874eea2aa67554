"""The container of PR 576."""
