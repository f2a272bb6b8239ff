"""splitter: the biggest local GGUF model, fast, on mismatched GPUs."""

__version__ = "0.1.0"
