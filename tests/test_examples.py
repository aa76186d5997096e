"""Every notebook runs, shrunk: the cell tagged "parameters" is followed by smaller ones."""

import json

import pytest

from tests.conftest import ROOT

SHRUNK = {"digits": {"EPOCHS": 2}}
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_from_top_to_bottom(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {}
    for cell in json.loads(path.read_text())["cells"]:
        if cell["cell_type"] == "code":
            assert cell["outputs"] == []  # they are not kept in the repository
            exec("".join(cell["source"]), names)
        if "parameters" in cell["metadata"].get("tags", []):
            assert set(SHRUNK[path.stem]) <= set(names)
            names |= SHRUNK[path.stem]
    assert "report" in names


def test_every_example_is_run():
    assert {path.stem for path in NOTEBOOKS} == set(SHRUNK)
