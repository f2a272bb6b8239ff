"""Fuzzing: what each reader of foreign bytes may do with any input. `python -m tests.fuzz TARGET --minutes 10`."""
