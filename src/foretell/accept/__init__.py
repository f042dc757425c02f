"""How a token is chosen and a guess accepted."""
