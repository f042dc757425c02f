"""Models: the catalogue, the store, GGUF files, tokenizers and chat templates."""
