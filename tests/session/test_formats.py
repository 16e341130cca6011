"""What other annotation tools export: statuses that are no labels, several people, other people's tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from autoal import Session
from autoal.errors import AutoALError, AutoALWarning, InvalidInput
from autoal.session import Told
from tests.session.forged import as_version_0_1_0
from tests.session.problems import NAMES, X, begun, named, truth
from tests.session.test_exports import annotation, task, written


def lines(*rows: dict[str, Any]) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def prodigy(name: str, answer: Any = "accept", **more: Any) -> dict[str, Any]:
    return {"id": name, "text": "a leaf", "answer": answer, "_input_hash": 1, "_task_hash": 2, **more}


def test_prodigy_says_what_became_of_each(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    options = [{"id": "oak", "text": "Oak"}, {"id": "elm", "text": "Elm"}]
    rows = [
        prodigy("p01", label="oak"),
        prodigy("p02", "reject", label="oak"),
        prodigy("p03", "ignore", label="oak"),
        prodigy("p04", accept=["elm"], options=options, label=None),
        prodigy("p05", "ignore", accept=["elm"], options=options),
        prodigy("p06", accept=[], options=options),
        prodigy("p07", "reject", accept=["elm"], options=options),
    ]
    told = session.tell_file(written(tmp_path, "a.jsonl", lines(*rows)), cancelled="ood")
    assert told == Told(2, 0, 0, 2, rejected=2)
    assert session.labeled == {"p01": "oak", "p04": "elm"} and session.skipped == {"p03": "ood", "p05": "ood"}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.jsonl", lines(prodigy("p01", label="oak"), prodigy("p02", "skip")), "line 2: 'p02': got answer"),
        ("a.jsonl", lines({"id": 1, "answer": "accept", "label": "a"}, {"id": 2, "answer": "??"}), "line 2: 2: got"),
        ("a.jsonl", lines(prodigy("p01", accept=["oak", "elm"])), "line 1: 'p01': got 2 labels"),
        ("a.csv", "id,label,answer\np01,oak,accept\np02,oak,maybe\n", "line 3: 'p02': got answer 'maybe'"),
        ("a.csv", "id,label,status\np01,oak,submitted\np02,oak,approved\n", "line 3: 'p02': got status 'approved'"),
        ("a.jsonl", lines({"id": "p01", "label": ["oak", "elm"], "Comments": [], "index": 1}), "'p01': got 2"),
        ("a.csv", "id,text,label,Comments,index\np01,t,elm#oak,[],1\n", "'p01': got the labels 'elm#oak'"),
        ("a.jsonl", lines({"id": 1, "text": "t", "label": ["oak"], "Comments": []}), "doccano"),
        ("a.json", [task("p01", annotation("oak", "elm")), task("p02", annotation("oak", "elm"))], "'p01'.*; .*'p02'"),
    ],
)  # fmt: skip
def test_what_is_refused_names_the_point(tmp_path: Path, name: str, content: Any, said: str) -> None:
    session = begun(tmp_path / "s")
    with pytest.raises(InvalidInput, match=said):
        session.tell_file(written(tmp_path, name, content))
    assert session.labeled == {} and session.skipped == {}


def test_a_column_of_the_users_own_is_no_status(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    table = "id,label,answer,status\np01,oak,42,new\np02,elm,7,\n"
    assert session.tell_file(written(tmp_path, "a.csv", table)) == Told(2, 0, 0, 0)
    both = written(tmp_path, "b.csv", "id,answer\np03,accept\n")
    session.tell_file(both, label="answer")
    assert session.labeled["p03"] == "accept"


def record(name: str, *responses: Any, **more: Any) -> dict[str, Any]:
    shared = {"fields": {"text": "a leaf"}, "metadata": {}, "suggestions": {"label": {"value": "ash", "score": 1.0}}}
    return {"id": name, **shared, "responses": list(responses), **more}


def response(value: Any, user: str = "u1", status: str = "submitted") -> dict[str, Any]:
    return {"user_id": user, "status": status, "values": {} if value is None else {"label": {"value": value}}}


def flat(name: str, values: list[Any], users: list[str], statuses: list[str]) -> dict[str, Any]:
    made = {"label.responses": values, "label.responses.users": users, "label.responses.status": statuses}
    return {"id": name, "text": "a leaf", "status": "completed", "label.suggestion": "ash", **made}


def test_argilla_in_its_three_shapes(tmp_path: Path) -> None:
    by_user = [
        record("p01", response("oak"), response("oak", "u2")),
        record("p02", response("oak", status="discarded")),
        record("p03", response("oak", status="draft")),
        record("p04", response(None, status="discarded"), response(["elm"], "u2")),
        record("p05"),
    ]
    flattened = [
        flat("p01", ["oak", "oak"], ["u1", "u2"], ["submitted", "submitted"]),
        flat("p02", ["oak"], ["u1"], ["discarded"]),
        flat("p03", ["oak"], ["u1"], ["draft"]),
        flat("p04", [None, "elm"], ["u1", "u2"], ["discarded", "submitted"]),
        {**flat("p05", [], [], []), "label.responses": None, "label.responses.users": None},
    ]
    for name, records in (("user", by_user), ("flat", flattened)):
        session = begun(tmp_path / name)
        assert session.tell_file(written(tmp_path, f"{name}.json", records)) == Told(2, 0, 0, 1)
        assert session.labeled == {"p01": "oak", "p04": "elm"} and session.skipped == {"p02": "cancelled"}
        assert session.votes == {"p01": {"u1": "oak", "u2": "oak"}, "p04": {"u2": "elm"}}
    unsaid = record(
        "p01", responses={"label": [{"value": "oak", "user_id": "u1"}], "why": [{"value": "x", "user_id": "u1"}]}
    )
    session = begun(tmp_path / "named")
    path = written(tmp_path, "n.json", [unsaid])
    with pytest.raises(InvalidInput, match="'label', 'why'"):
        session.tell_file(path)
    with pytest.raises(InvalidInput, match="no record has a question 'nope', only 'label', 'why'"):
        session.tell_file(path, label="nope")
    with pytest.warns(AutoALWarning, match="carry no status"):
        session.tell_file(path, label="label")
    assert session.labeled == {"p01": "oak"}
    for wrong, said in (
        (record("p01", response("oak", status="approved")), "'p01': got the status 'approved'"),
        (record("p01", response(["oak", "elm"])), "'p01': got 2 labels"),
        (record("q99", response("oak")), "q99"),
        (flat("p01", ["oak"], ["u1", "u2"], ["submitted"]), "2 entries"),
    ):
        with pytest.raises(AutoALError, match=said):
            session.tell_file(written(tmp_path, "w.json", [wrong]))


def test_doccano_gives_back_the_ids_it_was_given(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    batch = session.ask(4)
    rows = [json.loads(line) for line in str(batch.to_jsonl()).splitlines()]
    out = [
        {**row, "text": "t", "label": [label], "Comments": []}
        for row, label in zip(rows, named(batch.ids), strict=True)
    ]
    assert session.tell_file(written(tmp_path, "all.jsonl", lines(*out)), annotator="ann") == Told(4, 0, 0, 0)
    assert session.pending == [] and set(session.votes[batch.ids[0]]) == {"ann"}
    table = pd.DataFrame(out).assign(label=[row["label"][0] for row in out], Comments="[]")
    assert session.tell_file(written(tmp_path, "all.csv", table.to_csv(index=False))) == Told(0, 4, 0, 0)


def test_a_row_number_that_belongs_to_another_id_is_refused(tmp_path: Path) -> None:
    session = begun(tmp_path / "s", ids=None)
    rows = [{"id": 7, "index": 3, "utility": 0.5, "label": "oak"}]  # a tool wrote its own number over the id
    path = written(tmp_path, "a.jsonl", lines(*rows))
    with pytest.raises(InvalidInput, match="row 7 of this session, but the row number beside it says 3"):
        session.tell_file(path)
    session.tell_file(path, id="index")
    assert session.labeled == {3: "oak"}


def test_tasks_of_other_people_are_passed_over_and_counted(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    others = [
        {"id": 1, "data": {"image": "u"}, "annotations": [annotation("oak")]},
        {"id": 2, "data": {"image": "u"}, "annotations": []},
        task("q77", annotation("oak")),
    ]
    mine = task("p01", annotation("oak"))
    assert session.tell_file(written(tmp_path, "a.json", [*others, mine])) == Told(1, 0, 0, 0, foreign=2)
    for tasks, said in ((others, "q77"), (others[:2], "no id in its data, only .'image'")):
        with pytest.raises(InvalidInput, match=said):
            session.tell_file(written(tmp_path, "b.json", tasks))


def test_controls_and_fields_that_are_not_there_are_named(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    path = written(tmp_path, "a.json", [task("p01", annotation("oak")), task("p02")])
    with pytest.raises(InvalidInput, match="no annotation has a control 'klass', only 'species'"):
        session.tell_file(path, label="klass")
    with pytest.raises(InvalidInput, match=r"got no row in its data, only .'id', 'index', 'utility'"):
        session.tell_file(path, id="row")
    other = task("p01", annotation("oak"))
    other["data"]["row"] = "p05"
    session.tell_file(written(tmp_path, "b.json", [other]), id="row")
    assert session.labeled == {"p05": "oak"}


def test_predictions_and_drafts_are_no_answers(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    made = task("p01")
    made["predictions"] = [{"result": annotation("oak")["result"], "score": 0.9}]
    made["drafts"] = [{"result": annotation("oak")["result"]}]
    assert session.tell_file(written(tmp_path, "a.json", [made, task("p02", annotation(was_cancelled=True))])) == Told(
        0, 0, 0, 1
    )
    assert session.labeled == {}


def test_text_in_json_stays_text(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    session.tell_file(written(tmp_path, "a.json", [task("p01", annotation("1")), task("p02", annotation("2"))]))
    session.tell_file(written(tmp_path, "b.json", [task("p03", annotation("unsure"))]))
    assert session.labeled == {"p01": "1", "p02": "2", "p03": "unsure"}
    whole = begun(tmp_path / "t", classes=[1, 2])
    whole.tell_file(written(tmp_path, "c.json", [task("p01", annotation("1"))]))
    assert whole.labeled == {"p01": 1}
    table = begun(tmp_path / "u")
    table.tell_file(written(tmp_path, "d.csv", "id,label\np01,1\np02,2\n"))
    with pytest.raises(InvalidInput, match=r"'p03': got the label 'unsure' .*classes="):
        table.tell_file(written(tmp_path, "e.csv", "id,label\np03,unsure\n"))


def test_names_that_are_nearly_alike_are_said_once(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    with pytest.warns(AutoALWarning, match="'Cat' and 'cat'|'cat' and 'Cat'"):
        session.tell(["p01", "p02"], ["cat", "Cat"])
    session.tell(["p03", "p04"], ["cat", "Cat"])
    with pytest.warns(AutoALWarning, match="at' and ' CAT'"):
        session.tell("p05", " CAT")


def test_a_table_comes_back_partly_filled(tmp_path: Path) -> None:
    texts = [f'leaf {name}, "soft";\n=SUM(A1)' for name in NAMES]
    session = begun(tmp_path / "s", X=texts, model=None)
    batch = session.ask(5)
    batch.to_csv(tmp_path / "b.csv")
    table = pd.read_csv(tmp_path / "b.csv", dtype=str, keep_default_na=False)
    assert table["text"].tolist() == [texts[row] for row in batch] and set(table["label"]) == {""}
    assert session.tell_file(tmp_path / "b.csv") == Told(0, 0, 0, 0)
    table.loc[[0, 2], "label"] = ["NA", "oak"]
    table.to_csv(tmp_path / "c.csv", index=False)
    assert session.tell_file(tmp_path / "c.csv") == Told(2, 0, 0, 0)
    assert session.labeled == {batch.ids[0]: "NA", batch.ids[2]: "oak"} and len(session.pending) == 3
    lines_of = [json.loads(line) for line in str(batch.to_jsonl()).splitlines()]
    assert [line["text"] for line in lines_of] == table["text"].tolist() and lines_of[0]["label"] is None
    tasks = json.loads(str(batch.to_label_studio()))
    assert [made["data"]["text"] for made in tasks] == table["text"].tolist()


def test_columns_of_the_rows_do_not_pass_for_answers(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {"x": X[:, 0], "skip": "yes", "rank": 3.5, "annotator": "bob", "answer": "accept", "status": "draft"}
    )
    frame["class"] = [f"c{i}" for i in range(60)]
    session = begun(tmp_path / "s", X=frame, model=None)
    batch = session.ask(3)
    for name, write in (("b.csv", batch.to_csv), ("b.jsonl", batch.to_jsonl)):
        write(tmp_path / name)
        assert session.tell_file(tmp_path / name) == Told(0, 0, 0, 0)
    table = pd.read_csv(tmp_path / "b.csv", dtype=str, keep_default_na=False)
    assert table["row_skip"].tolist() == ["yes"] * 3 and table["row_rank"].tolist() == ["3.5"] * 3
    table["label"] = named(batch.ids)
    table.to_csv(tmp_path / "c.csv", index=False)
    assert session.tell_file(tmp_path / "c.csv") == Told(3, 0, 0, 0) and session.votes == {}


def test_old_journals_read_as_before(tmp_path: Path) -> None:
    session = begun(tmp_path / "s")
    old = {"event": "tell", "ids": ["p01"], "labels": ["oak"], "skips": [["p02", "ood"]], "source": "tell", "time": "t"}
    as_version_0_1_0(session.folder)
    with open(session.folder / "journal.jsonl", "a", encoding="utf-8") as file:
        file.write(json.dumps(old) + "\n")
    with pytest.warns(AutoALWarning, match="no hashes"):
        session = Session.open(session.folder)
    assert session.labeled == {"p01": "oak"} and session.skipped == {"p02": "ood"} and session.votes == {}
    assert "annotators" not in session.status() and session.agreement() is None
    session.tell(NAMES[3:9], truth[3:9])
    assert set(json.loads((session.folder / "journal.jsonl").read_text().splitlines()[-1])) == {
        "event",
        "ids",
        "labels",
        "source",
        "time",
        "of",
        "line",
        "hash",
    }


def test_classes_keep_the_order_in_which_they_are_named(tmp_path: Path) -> None:
    session = begun(tmp_path / "s", classes=["oak", "elm", "ash"])
    session.tell(NAMES[:12], truth[:12])
    own = np.full((60, 3), 0.01)
    own[:, 0] = 0.98
    batch = session.ask(3, probs=own)
    assert list(batch.classes) == ["oak", "elm", "ash"]
    assert batch.show is None  # numbers are nothing to look at


def test_a_batch_without_its_rows_at_hand_is_a_batch_of_ids(tmp_path: Path) -> None:
    pd.DataFrame({"x": X[:, 0], "z": X[:, 1]}).to_csv(tmp_path / "pool.csv", index=False)
    session = begun(tmp_path / "s", X=tmp_path / "pool.csv", model=None)
    batch = session.ask(3)
    assert batch.show is not None and batch.show.fields[0] == {"x": X[batch[0], 0], "z": X[batch[0], 1]}
    (tmp_path / "pool.csv").rename(tmp_path / "moved.csv")
    with pytest.warns(AutoALWarning, match="holds ids only"):
        pending = Session.open(session.folder).pending_query()
    assert pending.show is None and pending.ids.tolist() == batch.ids.tolist()
    outside = begun(tmp_path / "o", X=[{"text": f"leaf {i}", "n": i} for i in range(60)], encoder=_numbers, model=None)
    shown = outside.ask(2)
    assert shown.show is not None and shown.show.fields[0] == {"text": f"leaf {shown[0]}", "n": shown[0]}
    assert Session.open(outside.folder).pending_query().show is None


def _numbers(items: Any) -> np.ndarray:
    return np.asarray([[item["n"], item["n"] % 7] for item in items], dtype=float)
