"""The decision: requests, llama.cpp's placement rule and its inverse, the speed model, the solver and the Plan."""
