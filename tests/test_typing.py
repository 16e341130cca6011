"""Words of a closed set are types: a type checker finds what is misspelt, before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

RIGHT = """
from autoal import AutoAL, Session
from autoal.models import TorchModel
from torch import nn

def ask(session: Session, name: str) -> None:
    AutoAL("fast", mode="paper", task="regression")
    AutoAL(["margin", name], search={"audit": 0.2})
    TorchModel(lambda: nn.Linear(2, 2), posterior="laplace", noise_variant="global")
    Session.create("runs/leaves", [[0.0]], task="classification", mode="uniform")
    session.tell([1], ["oak"], on_conflict="majority")
"""
WRONG = {
    'mode="paper"': 'mode="bilevle"',
    'task="regression"': 'task="regresion"',
    'posterior="laplace"': 'posterior="laplacian"',
    'noise_variant="global"': 'noise_variant="whole"',
    'mode="uniform"': 'mode="unifrom"',
    'on_conflict="majority"': 'on_conflict="most"',
}


@pytest.mark.slow
def test_a_misspelt_word_is_a_type_error(tmp_path: Path) -> None:
    api = pytest.importorskip("mypy.api")
    files = [tmp_path / "right.py"]
    files[0].write_text(RIGHT)
    for number, (word, misspelt) in enumerate(WRONG.items()):
        assert RIGHT.count(word) == 1
        files.append(tmp_path / f"wrong_{number}.py")
        files[-1].write_text(RIGHT.replace(word, misspelt))
    options = ["--config-file", "", "--follow-imports", "silent", "--ignore-missing-imports"]
    out, problems, _ = api.run([*options, *map(str, files)])
    assert not problems
    errors = [line for line in out.splitlines() if ": error:" in line]
    assert not [line for line in errors if "right.py" in line]
    for path, misspelt in zip(files[1:], WRONG.values(), strict=True):
        found = [line for line in errors if path.name in line]
        assert len(found) == 1 and "arg-type" in found[0], (misspelt, found)
