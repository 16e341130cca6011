"""Selectors: AutoAL, and what a selector is."""
