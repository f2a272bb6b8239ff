"""llama.cpp's llama-server: its command, its reader, its traps, its dry run, by build."""
