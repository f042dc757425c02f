"""Tiers: what a generation is specialised to while it runs, behind guards (docs/adr/0009-tiers.md)."""
