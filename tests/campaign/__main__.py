"""`python -m tests.campaign --seed 0 --calls 5000`: makes the calls again, and prints the faults by kind."""

from __future__ import annotations

import argparse
import collections
import os
import sys
import time
from collections.abc import Callable

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before anything imports torch

from tests.campaign.outcome import Fault, limited_memory
from tests.campaign.queries import run_case
from tests.campaign.sessions import run_session

PARTS: dict[str, Callable[[int, int], tuple[collections.Counter[str], list[Fault]]]] = {}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--calls", type=int, default=1000, help="of fit_query, and of methods of sessions")
    parser.add_argument("--part", choices=("query", "session", "both"), default="both")
    parser.add_argument(
        "--first", type=int, default=0, help="number of the first case (of a session: of the first one)"
    )
    parser.add_argument("--verbose", action="store_true", help="every fault, not one of each kind")
    parser.add_argument("--seconds", type=float, default=1e9, help="stops after so long, and says where")
    chosen = parser.parse_args()
    began, faults = time.monotonic(), []
    with limited_memory():
        for part in ("query", "session") if chosen.part == "both" else (chosen.part,):
            counts: collections.Counter[str] = collections.Counter()
            number = chosen.first
            while counts.total() < chosen.calls and time.monotonic() - began < chosen.seconds:
                if part == "query":
                    word, fault = run_case(chosen.seed, number)
                    counts[word] += 1
                    found = [] if fault is None else [fault]
                else:
                    seen, found = run_session(chosen.seed, number)
                    counts.update(seen)
                faults += found
                number += 1
            print(f"{part}: cases {chosen.first} to {number - 1}: {dict(counts)}", file=sys.stderr)
    kinds: dict[str, list[Fault]] = {}
    for fault in faults:
        kinds.setdefault(fault.kind, []).append(fault)
    for alike in sorted(kinds.values(), key=len, reverse=True):
        print(f"{len(alike)} x", *(alike if chosen.verbose else [min(alike, key=lambda fault: len(fault.given))]))
    print(f"{len(faults)} faults of {len(kinds)} kinds in {time.monotonic() - began:.0f} s")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
