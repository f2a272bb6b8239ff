"""koboldcpp: its command, its reader, its traps, by release."""
