"""SearchNet taught beforehand: the hypergradient through rounds of tasks whose labels are all known."""

from autoal.pretrain.learn import Gain, Progress, Recipe, pretrain, read_recipe

__all__ = ["Gain", "Progress", "Recipe", "pretrain", "read_recipe"]
