"""Rewrites of pipelines, one a file, and what runs them."""
