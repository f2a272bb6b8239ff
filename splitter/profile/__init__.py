"""What the user saved: YAML profiles, layered, each value with its source."""
