"""Values to rich renderables: no decisions, no input."""
