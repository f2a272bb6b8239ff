"""The embedded engine: llama.cpp inside a Python process (xllamacpp)."""
