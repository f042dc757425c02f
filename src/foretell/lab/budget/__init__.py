"""Small instead of large, tuned by data: which answers may be left to a small model, and what that certainly costs."""
