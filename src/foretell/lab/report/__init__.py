"""Reports of experiments: what rows of results allow to say, as a page, as pictures and at a terminal."""
