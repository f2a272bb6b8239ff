"""What an attacker may write into a model, and where it may never arrive."""
