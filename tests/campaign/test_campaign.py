"""Odd calls end in a valid answer or in an AutoALError: a few each time, thousands on request."""

from __future__ import annotations

import collections

import pytest

pytest.importorskip("polars", reason="a container of the campaign; comes with the extra peers")

from tests.campaign.outcome import Fault, limited_memory
from tests.campaign.queries import run_case
from tests.campaign.sessions import run_session


def _queries(seed: int, calls: int) -> list[Fault]:
    with limited_memory():
        return [fault for number in range(calls) if (fault := run_case(seed, number)[1]) is not None]


def _sessions(seed: int, calls: int) -> list[Fault]:
    counts: collections.Counter[str] = collections.Counter()
    faults: list[Fault] = []
    number = 0
    with limited_memory():
        while counts.total() < calls:
            seen, found = run_session(seed, number)
            counts.update(seen)
            faults += found
            number += 1
    return faults


def _words(faults: list[Fault]) -> str:
    return "\n".join(map(str, faults))


@pytest.mark.parametrize("seed", range(4))
def test_a_hundred_odd_queries(seed: int) -> None:
    faults = _queries(100 + seed, 100)
    assert not faults, _words(faults)


@pytest.mark.parametrize("seed", range(4))
def test_a_hundred_odd_calls_of_sessions(seed: int) -> None:
    faults = _sessions(100 + seed, 100)
    assert not faults, _words(faults)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_five_thousand_odd_queries() -> None:
    faults = _queries(0, 5000)
    assert not faults, _words(faults)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_three_thousand_odd_calls_of_sessions() -> None:
    faults = _sessions(0, 3000)
    assert not faults, _words(faults)


def test_the_campaign_notices_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that is none of ours, and an answer that names a labeled row, are both faults."""
    from autoal import AutoAL

    def broken(self: AutoAL, *args: object, **more: object) -> None:
        raise KeyError("inside")

    monkeypatch.setattr(AutoAL, "fit_query", broken)
    assert any(fault.kind.startswith("KeyError") for fault in _queries(0, 5))
