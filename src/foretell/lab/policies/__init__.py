"""Rules for who guesses, and how much: ours and those of others, each with its source."""
