"""Sources of guesses, one per file."""
