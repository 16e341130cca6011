"""Strategies that ask for what would move the model: gradients of the last layer and kernels; one file each."""
