"""What all strategies share: orders with ties drawn."""

from __future__ import annotations

import pytest
import torch

from autoal.strategies.base import random_ties
from tests.helpers import seeded


@pytest.mark.parametrize("values", ["different", "few", "infinite", "missing"])
@pytest.mark.parametrize("most", [0, 1, 7, 200, 5000])
def test_the_first_of_an_order_are_those_of_the_whole_order(values: str, most: int) -> None:
    scores = torch.randn(1000, generator=seeded(1), dtype=torch.float64)
    if values == "few":
        scores = scores.round()
    elif values == "infinite":
        scores[torch.randperm(1000, generator=seeded(2))[:970]] = -torch.inf
    elif values == "missing":
        scores[5] = torch.nan
    assert torch.equal(random_ties(scores, seeded(3), most), random_ties(scores, seeded(3))[:most])
