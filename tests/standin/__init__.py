"""A stand-in koboldcpp: parses argv as the real one does, in front of a real llama.cpp server, and fails as it does."""
