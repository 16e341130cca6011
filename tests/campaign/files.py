"""Files that come back from labelling, right and broken, and files of rows that are broken."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from tests.campaign.values import SCALARS

__all__ = ["answer_file", "broken_rows"]

Pairs = list[tuple[Any, Any]]
HUGE = "9" * 5000
JSON_VALUES: tuple[str, ...] = (
    "null", "true", "NaN", "Infinity", "-Infinity", "1e400", HUGE, "-1", "0", "1.0", "1.5", '""', '" "', '"\\ud800"',
    '"a\\u0000"', "[]", "{}", '["a"]', '["a", "b"]', '[["a"]]', '{"choices": ["a"]}', '{"choices": "a"}',
    '{"choices": []}', '{"a": 1}', '"[{\\"choices\\": [\\"a\\"]}]"', '"9007199254740993"', f'"{HUGE}"', '"=1+1"',
)  # fmt: skip


def _text(value: Any) -> str:
    """JSON of a plain value."""
    return json.dumps(value)


def _csv(rng: random.Random, pairs: Pairs) -> str:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=rng.choice(",;\t"), lineterminator=rng.choice(["\n", "\r\n"]))
    writer.writerow(["id", rng.choice(["label", "y", "choice"])])
    writer.writerows(pairs)
    return out.getvalue()


def _jsonl(rng: random.Random, pairs: Pairs) -> str:
    return "".join(_text({"id": name, "label": label}) + "\n" for name, label in pairs)


def _list(rng: random.Random, pairs: Pairs) -> str:
    return json.dumps([{"id": name, "label": label} for name, label in pairs], indent=rng.choice([None, 1]))


def _task(name: Any, label: Any) -> dict[str, Any]:
    result = {"value": {"choices": [label]}, "from_name": "kind", "to_name": "image", "type": "choices"}
    return {"id": 5, "data": {"id": name, "utility": 0.5}, "annotations": [{"id": 1, "result": [result]}]}


def _studio(rng: random.Random, pairs: Pairs) -> str:
    return json.dumps([_task(name, label) for name, label in pairs])


def _studio_short(rng: random.Random, pairs: Pairs) -> str:
    return json.dumps(
        [{"id": 9, "index": 0, "annotation_id": 1, "choice": label, "image": "a.png"} for _, label in pairs[:1]]
    )


def _prodigy(rng: random.Random, pairs: Pairs) -> str:
    answers = ("accept", "reject", "ignore", "what")
    return "".join(
        _text({"id": n, "label": c, "answer": rng.choice(answers), "_input_hash": 1}) + "\n" for n, c in pairs
    )


def _argilla(rng: random.Random, pairs: Pairs) -> str:
    return json.dumps(
        [
            {"id": str(n), "fields": {"text": "a"}, "status": rng.choice(["submitted", "discarded", "pending"]),
             "responses": {"label": [{"value": c, "user_id": "u"}]}} for n, c in pairs
        ]
    )  # fmt: skip


def _skips(rng: random.Random, pairs: Pairs) -> str:
    rows = [
        {"id": n, "label": rng.choice([None, c]), "skip": rng.choice(["", "ood", True, "1", 0, "blurred"])}
        for n, c in pairs
    ]
    return "".join(_text(row) + "\n" for row in rows)


def _foreign(rng: random.Random, pairs: Pairs) -> str:
    """What other tools write."""
    return rng.choice(
        [
            json.dumps({"images": [{"id": 1, "file_name": "a"}], "annotations": [{"image_id": 1, "category_id": 2}]}),
            "<annotations><image id='0' name='a'/></annotations>",
            json.dumps({"_via_settings": {}, "_via_img_metadata": {}}),
            "".join(_text({"id": n, "text": "a", "cats": {"x": 1}, "spans": []}) + "\n" for n, _ in pairs),
            json.dumps([{"ID": "x", "Labeled Data": "u", "Label": {"objects": []}}]),
            json.dumps({"version": "5.0", "shapes": [{"label": "a"}], "imagePath": "a.png"}),
            json.dumps([_text({"id": n, "label": c}) for n, c in pairs]),
            json.dumps({str(n): c for n, c in pairs}),
            json.dumps([[n, c] for n, c in pairs]),
            "0 0.5 0.5 0.1 0.1\n",
            "PAR1\0\0\0PAR1",
            "version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 5\n",
        ]
    )


FORMATS: dict[str, tuple[str, Callable[[random.Random, Pairs], str]]] = {
    "csv": (".csv", _csv),
    "jsonl": (".jsonl", _jsonl),
    "list": (".json", _list),
    "Label Studio": (".json", _studio),
    "JSON-MIN": (".json", _studio_short),
    "Prodigy": (".jsonl", _prodigy),
    "Argilla": (".json", _argilla),
    "skips": (".jsonl", _skips),
    "foreign": (".json", _foreign),
}


def _twisted(rng: random.Random, text: str, format: str, pairs: Pairs) -> bytes:
    """The file, broken in one way."""
    value = rng.choice(JSON_VALUES)
    quoted = str if format == "csv" else _text
    label = quoted(pairs[0][1])
    kind = rng.randrange(24)
    data = text.encode()
    if kind == 0:
        return data[: rng.randrange(len(data) + 1)]
    if kind == 1:
        broken = bytearray(data)
        for _ in range(rng.choice([1, 1, 4])):
            broken[rng.randrange(len(broken))] ^= 1 << rng.randrange(8)
        return bytes(broken)
    if kind == 2:
        return text.replace("\r\n", "\n").replace("\n", "\r").encode()
    if kind == 3:
        depth = rng.choice([50, 990, 100_000])
        return rng.choice(["[" * depth, "[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth]).encode()
    if kind == 4:
        inner = "[" * 100_000 + "]" * 100_000
        return text.replace(label, inner, 1).encode()
    if kind in (5, 6, 7):
        return text.replace(label, value, 1).encode()
    if kind == 8:
        return text.replace(label, value).encode()
    if kind in (9, 10):
        return text.replace(quoted(pairs[0][0]), value, 1).encode()
    if kind == 11:
        return text.encode(rng.choice(["utf-16", "utf-32", "utf-8-sig", "utf-16-le", "cp500"]))
    if kind == 12:
        return data + rng.choice([b"\xff\xfe", b"\0", b"\x1a", b"\xed\xa0\x80", b"caf\xe9", b"\n\n\n", b"null", b"{}"])
    if kind == 13:
        return text.replace('"label"', '"label": "b", "label"').replace('"id"', '"id": 1, "id"').encode()
    if kind == 14:
        first, _, rest = text.partition("\n")
        return f"{first},{first}\n{rest}".encode()
    if kind == 15:
        wrong = rng.choice(['["a"]', '"a"', "[5]", "{}", "5", "null", '[{"result": ["a"]}]', '[{"result": 5}]',
                            '[{"result": [{"value": ["a"]}]}]', '[{"result": [{"value": {"choices": 5}}]}]',
                            '[{"result": {"a": 1}}]', '[[{"result": []}]]', '[{"was_cancelled": 1}]', "true",
                            '[{"result": [{"value": {"choices": [{"a": 1}]}, "from_name": ["k"]}]}]'])  # fmt: skip
        return json.dumps([{**_task(n, c), "annotations": "@"} for n, c in pairs]).replace('"@"', wrong).encode()
    if kind == 16:
        wrong = rng.choice(["null", "5", "[]", '"a"', "{}", '{"index": 1e400}', f'{{"index": {HUGE}}}', '{"id": {}}',
                            '{"index": "x"}', '{"id": [1]}', '{"index": NaN}', '{"index": true}', '{"index": -1}',
                            '{"index": 1.7}', '{"id": NaN}', '{"index": "٣"}'])  # fmt: skip
        return json.dumps([{**_task(n, c), "data": "@"} for n, c in pairs]).replace('"@"', wrong).encode()
    if kind == 17:
        return text.replace('"id"', '"name"').replace("id", "key", 1).encode()
    if kind == 18:
        return (
            b""
            if rng.random() < 0.5
            else rng.choice([b"\n", b" ", b"[]", b"{}", b"null", b"\xef\xbb\xbf", b"id,label\n"])
        )
    if kind == 19:
        return text.replace(",", rng.choice([",,", ',"', "\0,", "\r,", "', "])).encode()
    if kind == 20:
        return (text + text).encode()
    if kind == 21:
        return text.replace(label, quoted("x" * 200_000), 1).encode()
    if kind == 22:
        column = rng.choice(
            ["id,label", "id", "label", "id;label\tskip", 'id,"label', "id,label,skip", "index,annotation_id,choice"]
        )
        cells = [rng.choice(["", "0", "a", '"', HUGE, "1e5", "-0", "=1", "\0", "nan"]) for _ in range(6)]
        return "\n".join([column, ",".join(cells[:2]), ",".join(cells[2:4]), ",".join(cells[4:])]).encode()
    return data


def answer_file(rng: random.Random, pairs: Pairs, folder: Path) -> tuple[Path, str]:
    """A file with these answers in one of the formats, mostly broken, and what it is in words."""
    format = rng.choice(list(FORMATS))
    suffix, write = FORMATS[format]
    text = write(rng, pairs)
    whole = rng.random() < 0.15
    data = text.encode() if whole else _twisted(rng, text, format, pairs)
    if rng.random() < 0.1:
        suffix = rng.choice([".csv", ".json", ".jsonl", ".npz", ".txt", "", ".CSV", ".tsv"])
    path = folder / f"answers{suffix}"
    if rng.random() < 0.02:
        return rng.choice([folder / "nowhere.csv", folder]), "no file"
    path.write_bytes(data)
    shown = repr(data[:300]) + (f"... ({len(data)} bytes)" if len(data) > 300 else "")
    return path, f"{format} as {path.name}: {shown}"


def _npy(rng: random.Random, numbers: np.ndarray) -> bytes:
    out = io.BytesIO()
    made = rng.choice([numbers, numbers.astype("U4"), np.zeros(0), np.asarray(5.0), numbers.astype(object)])
    np.save(out, made, allow_pickle=True)
    return out.getvalue()


def broken_rows(rng: random.Random, numbers: np.ndarray, folder: Path) -> Any:
    """The path of a file of rows, mostly broken."""
    suffix = rng.choice([".npy", ".npy", ".csv", ".csv", ".parquet", ".npz", ".tsv", ".txt", "", "/"])
    if suffix == "/":
        (folder / "pictures").mkdir(exist_ok=True)
        (folder / "pictures" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(rng.randrange(256) for _ in range(40)))
        return rng.choice([folder / "pictures", folder / "nowhere", "", ".", "\0", str(folder / "pictures")])
    path = folder / f"rows{suffix}"
    if suffix == ".npy":
        data = _npy(rng, numbers)
    elif suffix == ".parquet":
        frame = pd.DataFrame(numbers, columns=list("abc"))
        frame.to_parquet(path)
        data = path.read_bytes()
    elif suffix == ".npz":
        out = io.BytesIO()
        np.savez(out, X=numbers, y=np.zeros(len(numbers)))
        data = out.getvalue()
    else:
        frame = pd.DataFrame(
            numbers, columns=rng.choice([list("abc"), list("aab"), ["label", "a", "b"], ["", "a", "b"]])
        )
        frame["t"] = [str(rng.choice(SCALARS[:14])) for _ in range(len(numbers))]
        data = frame.to_csv(index=False).encode(errors="surrogatepass")
    kind = rng.randrange(5)
    if kind == 0:
        data = data[: rng.randrange(len(data) + 1)]
    elif kind == 1:
        broken = bytearray(data)
        for _ in range(rng.choice([1, 3, 30])):
            broken[rng.randrange(min(len(broken), rng.choice([20, 200, 10**6])))] ^= 1 << rng.randrange(8)
        data = bytes(broken)
    elif kind == 2:
        data = data.replace(b"\n", b"\r") if rng.random() < 0.5 else data + b"\xff\0"
    path.write_bytes(data)
    return rng.choice([path, str(path)])
