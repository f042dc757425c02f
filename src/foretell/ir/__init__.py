"""The pipeline: a small typed program that says who guesses, how guesses are checked and what may be lost."""
