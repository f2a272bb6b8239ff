"""What the host has: devices and memory, from NVML, the engine's own listing, a rig file or the card catalog."""
