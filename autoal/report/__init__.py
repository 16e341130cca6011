"""Tables and plots, made from a journal alone."""
