"""Tuning: neighbours of a plan, trials, successive halving."""
