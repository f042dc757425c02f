"""Experiments: a plan of models, configurations and suites, run into rows that can be gone on with and looked at."""
