"""Data: rows of any kind behind one interface, and the one place that converts between index spaces."""
