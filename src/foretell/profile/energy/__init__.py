"""Joules: meters of this machine, and a model of what none of them measures."""
