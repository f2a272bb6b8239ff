"""Command lines and scripts that people wrote, read back into settings."""
