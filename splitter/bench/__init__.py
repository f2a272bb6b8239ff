"""What was measured: tokens per second and latency over HTTP."""
