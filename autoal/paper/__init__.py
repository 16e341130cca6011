"""AutoAL as printed (arXiv 2410.13853): what `mode="paper"` runs."""
