"""Rivals: each behind a worker process, so that its environment and crashes stay its own."""
