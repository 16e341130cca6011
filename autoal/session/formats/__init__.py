"""What other tools write, read as answers: one file a format."""
