"""Claims of papers beside what our own code does."""
