"""Counterfactuals: policies over guesses that were recorded, played without running a model."""
