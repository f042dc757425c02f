"""A pipeline made to run: the interpreter that is its meaning, and generated Python."""
