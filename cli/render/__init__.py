"""All that is printed: tables for people, JSON for programs, progress on stderr."""
