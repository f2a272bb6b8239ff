"""What the file says: GGUF headers (local, split, remote) and the facts read out of them."""
