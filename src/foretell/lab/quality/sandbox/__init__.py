"""Runs programs that nobody has read, such as a language model writes, where they can do no harm."""
