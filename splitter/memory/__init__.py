"""What a device must hold: weights, KV cache and recurrent state, compute buffers, context overhead."""
