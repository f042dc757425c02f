"""Measurements: suites of prompts, and what is said about them."""
