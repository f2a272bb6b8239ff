"""ik_llama.cpp: its rules, its commands and logs by table, and (pytest -m ik) its real server, built for the CPU."""
