"""What is alive: starting, watching and stopping engine processes."""
