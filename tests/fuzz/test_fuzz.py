"""The inputs that once were at fault, and whether a fault would be noticed."""

import subprocess
import sys
from pathlib import Path

import pytest

from keras_mixer.cli.errors import is_mistake
from tests.conftest import ROOT
from tests.fuzz.kinds import KINDS

CORPUS = sorted((Path(__file__).parent / "corpus").iterdir())


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.name)
def test_what_was_once_at_fault_is_an_error_of_ours(path):
    kind = KINDS[path.name.partition("_")[0]]
    with pytest.raises(Exception) as caught:  # noqa: PT011  which one is asked below
        kind.use(path)
    assert is_mistake(caught.value), caught.value


@pytest.mark.skipif(sys.platform != "linux", reason="it reads /proc")
def test_every_outcome_is_told_from_the_others():
    command = [sys.executable, "-m", "tests.fuzz.on_workers"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.splitlines() == [
        "fine: accepted: []",
        "refused: refused: ['ValueError: of ours']",
        'bug: traceback: ["IndexError: of Python\'s"]',
        "abort: crash: ['SIGABRT']",
        "exit: crash: ['exit code 7']",
        "loop: hang: ['longer than 0.5 s']",
        "sleep: hang: ['longer than 0.5 s']",
        "much: memory: ['0.0 GB']",
        "after all: accepted: []",
    ]
