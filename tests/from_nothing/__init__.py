"""A person, a machine with nothing on it, a release server and a Hub: what has to be typed until a model answers."""
