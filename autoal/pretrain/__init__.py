"""SearchNet taught beforehand: the hypergradient through rounds of tasks whose labels are all known."""

from autoal.pretrain.landscape import landscape
from autoal.pretrain.learn import Gain, Progress, Recipe, collect, pretrain, read_recipe

__all__ = ["Gain", "Progress", "Recipe", "collect", "landscape", "pretrain", "read_recipe"]
