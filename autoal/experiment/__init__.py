"""Comparison runs: cells, journal, measures."""
