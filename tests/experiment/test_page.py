"""The page of a run: whole in itself, and made whatever is missing."""

from __future__ import annotations

import html.parser
import importlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autoal.report.page import findings, read_report, write_page
from autoal.report.records import (
    cost_table,
    failure_table,
    gate_table,
    overhead_table,
    rejected_share,
    weights_by_round,
)

GAINS = {"mine": 0.04, "random": 0.0, "other": 0.02, "a_rival": 0.01}


def written(folder: Path, *, scenarios: int = 3, seeds: int = 4, missing: tuple[str, ...] = ()) -> Path:
    """A run folder as `compare` leaves it: foreign points in the first scenario, weights and a gate of `mine`."""
    names = [f"s{i}" for i in range(scenarios)]
    config = {
        "name": "made",
        "datasets": [{"name": "iris", "label": name} for name in names],
        "selectors": list(GAINS),
        "seeds": list(range(seeds)),
    }
    manifest = {
        "config": config,
        "focus": "mine",
        "reference": "random",
        "versions": {"autoal": "0.1"},
        "data": dict.fromkeys(names, "f00d"),
        "revision": "abc123",
    }
    journal, timings, failures = [], [], []
    for scenario in names:
        for selector in GAINS:
            for seed in range(seeds):
                where = {"dataset": scenario, "selector": selector, "seed": seed}
                if selector in missing and scenario == "s1":
                    failures.append(
                        {
                            **where,
                            "round": 2,
                            "type": "ValueError",
                            "message": "no <luck>",
                            "traceback": "Traceback ...",
                        }
                    )
                    continue
                shift = np.random.default_rng([seed, len(selector)]).normal(0, 0.004)
                for number in range(4):
                    gate = {"open": number == 2, "reason": f"gain {number}.5 is not significant"}
                    journal.append(
                        {
                            **where,
                            "round": number,
                            "labels": 10 + 5 * number,
                            "labeled": 10 + 5 * number,
                            "rejected": 2 * number if scenario == "s0" else 0,
                            "value": 0.5 + (0.05 + GAINS[selector]) * number + shift,
                            "metric": "accuracy",
                            "weights": {"badge": 0.75, "margin": 0.25} if selector == "mine" and number < 3 else {},
                            "diagnostics": {"gate": gate} if selector == "mine" and number < 3 else {},
                            "last": number == 3,
                        }
                    )
                    timings.append(
                        {
                            **where,
                            "round": number,
                            "seconds": {"fit": 1.0, "select": 2.0},
                            "peak_bytes": {"host": 2**20},
                        }
                    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps(manifest))
    for name, rows in (("journal", journal), ("timings", timings), ("failures", failures)):
        if rows:
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def records(folder: Path, name: str = "journal") -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


class Page(html.parser.HTMLParser):
    """Tags opened and not closed, ids, links, and what is loaded."""

    VOID = ("meta", "img", "line", "circle", "rect", "path", "wbr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.sources: list[str] = []
        self.alts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        self.ids.update([given["id"] or ""] if "id" in given else [])
        self.links += [given["href"] or ""] if "href" in given else []
        self.sources += [given["src"] or ""] if "src" in given else []
        if tag == "img":
            self.alts.append(given.get("alt") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = written(tmp_path_factory.mktemp("runs") / "run", missing=("other",))
    path = write_page(read_report(folder))
    return folder, path.read_text(encoding="utf-8")


def test_a_page_needs_nothing_but_itself(page: tuple[Path, str]) -> None:
    _, text = page
    parsed = Page(text)
    assert parsed.open == []
    assert parsed.sources and all(source.startswith("data:image/png;base64,") for source in parsed.sources)
    assert all(link.startswith("#") and link[1:] in parsed.ids for link in parsed.links)
    assert all(parsed.alts)
    # Scripts are in the page; the one address in it is a comment of the library that draws the curves.
    rest = re.sub(r"data:image/png;base64,[^\"]*", "", text).replace("/*! https://github.com/leeoniya/uPlot", "")
    assert "http" not in rest and "<script src" not in text and "@import" not in text
    assert len(text) < 2_000_000


def test_a_page_has_every_part(page: tuple[Path, str]) -> None:
    _, text = page
    assert {
        "overall", "curves", "gains", "rivals", "scenarios", "measures", "weights", "rejected", "costs", "power",
        "failures", "run",
    } <= Page(text).ids  # fmt: skip
    assert "mine beats random: +" in text
    assert "Enough seeds?" in text and "abc123" in text and "f00d" in text
    assert "a_<wbr>rival" in text and "gain n is" not in text
    assert "no &lt;luck&gt;" in text and "no <luck>" not in text


def charts_of(text: str) -> list[dict[str, Any]]:
    found = re.search(r'<script id="charts" type="application/json">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_curves_are_there_as_numbers(page: tuple[Path, str]) -> None:
    _, text = page
    charts = charts_of(text)
    assert text.count("data-chart=") == len(charts) == 3
    mine = charts[0]["series"][0]
    assert mine["name"] == "mine" and len(mine["mean"]) == len(charts[0]["x"]) == 4
    assert all(low <= mean <= high for low, mean, high in zip(mine["low"], mine["mean"], mine["high"], strict=True))


def test_one_scenario_begins_with_its_gain_and_has_no_map_of_one_column(tmp_path: Path) -> None:
    text = write_page(read_report(written(tmp_path, scenarios=1))).read_text("utf-8")
    gain, curves = charts_of(text)
    assert gain["zero"] and not curves["zero"]
    assert gain["series"][0]["mean"][-1] == pytest.approx(12.0, abs=1.0)  # 4 points a round over random
    assert {"gains", "overall"}.isdisjoint(Page(text).ids)
    assert "instead of" in text


def test_no_name_ends_the_script(tmp_path: Path) -> None:
    folder = written(tmp_path, scenarios=1)
    for name in ("journal.jsonl", "manifest.json"):
        path = folder / name
        path.write_text(path.read_text().replace('"other"', '"</script><b>"'))
    text = write_page(read_report(folder)).read_text("utf-8")
    assert "</script><b>" not in text
    assert "</script><b>" in {series["name"] for series in charts_of(text)[1]["series"]}


def test_pictures_lie_beside_it_as_png(page: tuple[Path, str]) -> None:
    folder, _ = page
    names = {path.name for path in (folder / "plots").iterdir()}
    assert {"curves--s0.png", "gains.png", "weights.png", "rejected--s0.png", "seconds.png"} <= names
    assert all((folder / "plots" / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_the_same_folder_gives_the_same_page(page: tuple[Path, str]) -> None:
    folder, text = page
    assert write_page(read_report(folder)).read_text(encoding="utf-8") == text


def test_the_rank_diagram_is_there_with_the_extra(page: tuple[Path, str]) -> None:
    pytest.importorskip("scikit_posthocs")
    folder, text = page
    assert "ranks" in Page(text).ids and (folder / "plots" / "ranks.png").is_file()


def test_findings_name_the_place_and_what_was_left_out(page: tuple[Path, str]) -> None:
    report = read_report(page[0])
    assert findings(report)[0].startswith("mine is number 1 of")
    assert "missing: selectors other." in report.notes[0]
    assert report.shown[0] == "mine" and report.shown[-1] == "random"


def test_without_the_extra_a_page_is_made_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = importlib.import_module

    def without(name: str, package: str | None = None) -> object:
        if name.split(".")[0] in {"baycomp", "scikit_posthocs", "statsmodels"}:
            raise ImportError(name)
        return real(name, package)

    monkeypatch.setattr(importlib, "import_module", without)
    text = write_page(read_report(written(tmp_path))).read_text()
    assert "pip install &#39;autoal[stats]&#39;" in text
    ids = Page(text).ids
    assert "ranks" not in ids and {"overall", "gains", "rivals", "power"} <= ids


def test_a_run_of_one_scenario_and_seed_has_a_page(tmp_path: Path) -> None:
    text = write_page(read_report(written(tmp_path, scenarios=1, seeds=1))).read_text()
    assert "No verdict" in text and "One scenario" in text


def test_a_run_without_its_focus_has_a_page(tmp_path: Path) -> None:
    folder = written(tmp_path, scenarios=1)
    rest = [row for row in records(folder) if row["selector"] != "mine"]
    (folder / "journal.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rest))
    (folder / "timings.jsonl").unlink()
    text = write_page(read_report(folder)).read_text()
    assert "No verdict: no cell of mine was finished" in text
    assert "Nothing could be compared" in text


def test_weights_are_means_with_dropped_candidates_as_0() -> None:
    rows = [
        {"selector": "mine", "round": 0, "weights": {"badge": 1.0}},
        {"selector": "mine", "round": 0, "weights": {"badge": 0.5, "margin": 0.5}},
        {"selector": "other", "round": 0, "weights": {"margin": 1.0}},
        {"selector": "mine", "round": 1, "weights": {}},
    ]
    assert weights_by_round(rows, "mine").to_dict() == {0: {"badge": 0.75, "margin": 0.25}}
    assert weights_by_round(rows, "nobody").empty


def test_the_gate_is_counted_by_scenario(tmp_path: Path) -> None:
    table, reasons = gate_table(records(written(tmp_path, scenarios=2)), "mine")
    assert table.to_dict("records") == [{"dataset": f"s{i}", "rounds": 12, "opened": 4} for i in (0, 1)]
    assert reasons == [("gain 0.5 is not significant", 16)]


def test_rejected_points_are_a_share_of_those_bought(tmp_path: Path) -> None:
    share = rejected_share(pd.DataFrame(records(written(tmp_path))))
    assert share.columns.tolist() == ["s0"]
    assert share["s0"].tolist() == pytest.approx([6 / 15] * 4)


def test_costs_are_seconds_per_round_and_cell(tmp_path: Path) -> None:
    table = cost_table(records(written(tmp_path), "timings")).set_index("selector")
    assert table.loc["mine"].to_dict() == {"fit": 1.0, "select": 2.0, "cell": 12.0, "peak_mib": 1.0}
    assert cost_table([]).empty


def test_overhead_is_what_a_round_adds_to_one_training() -> None:
    timings = [
        {"dataset": name, "selector": who, "seconds": seconds}
        for name, who, seconds in (
            ("s0", "mine", {"fit": 2.0, "outputs": 0.5, "select": 1.5}),
            ("s0", "mine", {"fit": 2.0, "outputs": 0.5, "select": 0.5}),
            ("s0", "mine", {"fit": 9.0}),  # the last round asks for nothing
            ("s1", "mine", {"fit": 1.0, "select": 3.0}),
            ("s1", "other", {"fit": 1.0, "select": 99.0}),
        )
    ]
    table = overhead_table(timings, "mine").set_index("dataset")
    assert table["overhead"].to_dict() == {"s0": 0.75, "s1": 3.0}
    assert table.loc["s0"].to_dict() == {"fit_s": 2.0, "outputs_s": 0.5, "select_s": 1.0, "overhead": 0.75}
    assert overhead_table(timings, "nobody").empty


def test_equal_failures_are_told_once(tmp_path: Path) -> None:
    (group,) = failure_table(written(tmp_path, missing=("other",)))
    assert group["cells"] == 4 and group["where"] == {"s1": [0, 1, 2, 3]}
    assert failure_table(tmp_path / "nowhere") == []
