"""ik_llama.cpp: a fork of llama.cpp for large models of experts beside few cards (ik-llama-cpp-python 0.1.5's tree)."""
