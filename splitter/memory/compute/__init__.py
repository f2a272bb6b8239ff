"""Compute buffers: the reserved graph, by architecture, laid out as ggml-alloc does."""
