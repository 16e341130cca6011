"""Strategies that ask for points that differ from each other and stand for the pool; one file each."""
