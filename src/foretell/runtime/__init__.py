"""The generation loop and what belongs to it."""
