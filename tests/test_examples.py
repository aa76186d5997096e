"""Every notebook runs, shrunk, and what is kept in it is what it puts out."""

import nbformat
import pytest

from tests.notebooks import EXAMPLES, SKIPPED, executed

SHRUNK = {
    "laptop": {"EPOCHS": 1, "DIGITS": 260},
    "tpu": {"CHANGES": {"steps": 4, "warmup": 1, "batch_size": 16}, "EVALUATE_EVERY": 2},
}
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))


def outputs(notebook):
    """What each cell puts out: which streams, and data of which types."""
    for cell in notebook.cells:
        if cell.cell_type == "code" and SKIPPED not in cell.metadata.get("tags", []):
            kinds = (o.get("name") or sorted(o.get("data", [o.output_type])) for o in cell.outputs)
            yield cell.source, [kind for kind in kinds if kind != "stderr"]


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_keeps_the_outputs_that_it_has(
    path, tmp_path, monkeypatch, tiny_cifar10
):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tiny_cifar10))
    kept = dict(outputs(nbformat.read(path, as_version=4)))
    assert dict(outputs(executed(path, tmp_path, **SHRUNK[path.stem]))) == kept
    assert sum("image/png" in kind for kinds in kept.values() for kind in kinds) >= 3


def test_every_example_is_run():
    assert {path.stem for path in NOTEBOOKS} == set(SHRUNK)
