"""What one can do: one function per use case. Values in, a frozen result out; no terminal, no HTML."""
