"""Few rows of many columns: geometry costs n x D, and is what it would be with all columns."""

from __future__ import annotations

import warnings
from time import process_time

import numpy as np
import pytest
import torch

from autoal import AutoAL
from autoal.anchor.space import _leading_directions
from autoal.errors import AutoALWarning
from autoal.outputs import ModelOutputs, PoolView, compact_view, in_row_space
from autoal.strategies.parts.calibration import held_out_log_probs


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_few_wide_rows_keep_their_inner_products() -> None:
    one, other = normal(30, 2000), normal(12, 2000, seed=1)
    turned, also = in_row_space(one, other)
    assert turned.shape == (30, 42) and also.shape == (12, 42)
    torch.testing.assert_close(turned @ also.T, one @ other.T, rtol=1e-3, atol=1e-2)
    torch.testing.assert_close(torch.cdist(turned, also), torch.cdist(one, other), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("shape", [(600, 550), (40, 500)])
def test_what_is_not_wide_stays_as_it_is(shape: tuple[int, int]) -> None:
    rows = normal(*shape)
    assert in_row_space(rows) is rows


def test_a_view_turns_all_sides_alike() -> None:
    pool, labeled, rejected = (ModelOutputs(embeddings=normal(n, 1500, seed=n)) for n in (40, 9, 3))
    view = compact_view(PoolView(pool, labeled, torch.zeros(9, dtype=torch.long), 2, None, rejected))
    assert view.rejected is not None and view.rejected.embeddings is not None
    assert view.pool.require("embeddings").shape == (40, 52)
    made = torch.cdist(view.pool.require("embeddings"), view.rejected.embeddings)
    known = torch.cdist(pool.require("embeddings"), rejected.require("embeddings"))
    torch.testing.assert_close(made, known, rtol=1e-4, atol=1e-3)


def test_held_out_predictions_are_those_of_all_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, labels = normal(60, 700), torch.arange(60) % 3
    turned, _ = held_out_log_probs(rows, labels, 3)
    monkeypatch.setattr("autoal.outputs.WIDE", 10_000)
    whole, _ = held_out_log_probs(rows, labels, 3)
    torch.testing.assert_close(turned, whole, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(30, 90), (1100, 1200)])
def test_leading_directions_are_those_of_the_singular_values(shape: tuple[int, int]) -> None:
    scales = torch.linspace(30, 1, 8).double()
    signal = normal(shape[0], 8).double() * scales @ torch.linalg.qr(normal(shape[1], 8, seed=2).double())[0].T
    rows = signal + 1e-3 * normal(*shape, seed=3).double()
    found = _leading_directions(rows, 8)
    wanted = torch.linalg.svd(rows, full_matrices=False).Vh[:8]
    torch.testing.assert_close((wanted @ found).abs().diagonal(), torch.ones(8).double(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("width", [3000, 10_000])
def test_wide_embeddings_cost_what_they_hold(width: int) -> None:
    """150 rows: two seconds of CPU are asked for; 500 and more were needed while D x D matrices were made."""
    rows = normal(150, width).numpy()
    y = np.full(150, -1)
    y[:30] = rows[:30, 0] > 0
    X = np.arange(150.0)[:, None]
    AutoAL("default", random_state=0).fit_query(X, y, batch_size=5, embeddings=rows[:, :20])  # imports
    began = process_time()
    AutoAL("default", random_state=0).fit_query(X, y, batch_size=5, embeddings=rows)
    assert process_time() - began < 20, "ten times what it takes: a D x D matrix is back"


def test_thousands_of_classes_are_no_reason_to_warn_or_wait() -> None:
    rng = np.random.default_rng(0)
    probs = np.maximum(rng.dirichlet(np.full(900, 0.01), size=200), 1e-9)
    y = np.full(200, -1)
    y[:60] = np.arange(60)
    with warnings.catch_warnings():
        warnings.simplefilter("error", AutoALWarning)
        query = AutoAL("default", random_state=0).fit_query(
            np.arange(200.0)[:, None], y, batch_size=5, probs=probs / probs.sum(1, keepdims=True)
        )
    assert len(query) == 5
