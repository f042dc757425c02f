"""The Session protocol and its adapters."""
