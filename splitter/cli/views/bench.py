"""A measurement for people and as JSON."""
