"""Calibration: loads that tell a card's constants, the fit, what is kept."""
