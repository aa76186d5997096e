"""Runs notebooks; as a program, the ones in `examples/`, and keeps what they put out in them."""

import os
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.pictures import SHARED

EXAMPLES = Path(__file__).parents[1] / "examples"
SKIPPED = "skip-execution"  # nbclient's tag for a cell, such as one that installs something


def executed(path, folder, **parameters):
    """A notebook with its outputs, run from top to bottom in a process of its own.

    Args:
        path: The notebook.
        folder: Where it runs.
        **parameters: Other values for what its cell tagged `parameters` sets.
    """
    notebook = nbformat.read(path, as_version=4)
    cell = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", []))
    source = cell.source
    for name, value in parameters.items():
        assert f"{name} = " in source, f"{path.name} has no parameter {name}"
        cell.source += f"\n{name} = {value!r}"
    client = NotebookClient(
        notebook,
        timeout=1200,
        coalesce_streams=True,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
    )
    # `!keras-mixer` is that of this Python.
    client.execute(env=os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
    cell.source = source
    return notebook


def main():
    if SHARED.exists():  # otherwise CIFAR-10 is downloaded
        os.environ["TFDS_DATA_DIR"] = str(SHARED)
    for path in sorted(EXAMPLES.glob("*.ipynb")):
        print(path.name)
        with tempfile.TemporaryDirectory() as folder:
            notebook = executed(path, folder)
        for cell in notebook.cells:
            if cell.cell_type == "code":  # without the chatter of native libraries
                cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
        nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
