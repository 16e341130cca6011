"""Strategies for pools that hold points of no class that is asked for; one file each."""
