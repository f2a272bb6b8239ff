"""Measurements as records: made, kept in SQLite, exported."""
