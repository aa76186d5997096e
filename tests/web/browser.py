"""The page in Chromium.

`python -m tests.web.browser FOLDER PICTURE docs/web.png` makes its screenshot. `.ci/tools/web`
fetches what this takes into a folder: `KERAS_MIXER_TOOLS/web`, by the environment variable.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from PIL import Image

from keras_mixer.web.litert_js import installed
from keras_mixer.web.server import Server
from tests.web.node import NODE, TOOLS

CHROMIUM = shutil.which("chromium")
LACKING = [
    name
    for name, there in {
        "node": NODE,
        "chromium": CHROMIUM,
        "KERAS_MIXER_TOOLS, a folder that .ci/tools/web filled": TOOLS.is_dir(),
    }.items()
    if not there
]


def browse(folder, plan, work):
    """Serves a folder of models, has `page.mjs` use the page by a plan, and gives what it saw."""
    files, results = work / "plan.json", work / "found.json"
    with Server(folder, installed(TOOLS), port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        plan = plan | {"url": server.url, "tools": str(TOOLS), "chromium": CHROMIUM}
        files.write_text(json.dumps(plan))
        command = [NODE, Path(__file__).with_name("page.mjs"), files, results]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with subprocess.Popen(command, text=True, **pipes) as process:
            try:
                if process.stdout.readline() == "stop\n":
                    server.shutdown()
                    server.server_close()
                    process.stdin.write("stopped\n")
                    process.stdin.flush()
                _, errors = process.communicate(timeout=200)
            finally:
                process.kill()
                server.shutdown()
                thread.join()
    assert process.returncode == 0, errors
    return json.loads(results.read_text())


if __name__ == "__main__":
    models, picture, output = map(Path, sys.argv[1:])
    with tempfile.TemporaryDirectory() as work:
        plan = {"pictures": [str(picture.absolute())], "screenshot": str(output.absolute())}
        browse(models, plan, Path(work))
    Image.open(output).convert("RGB").quantize(128).save(output, optimize=True)
