"""What the page's README says is so."""

import csv
import re

from keras_mixer.tflite import RECIPES
from keras_mixer.web.litert_js import PACKAGES
from keras_mixer.web.server import CHECKOUT, PORT
from tests.conftest import ROOT

README = (CHECKOUT / "README.md").read_text()


def test_its_figures_are_those_measured():
    with (ROOT / "benchmarks/results/web.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = re.findall(r"^\| `(\w+)` \| (\S+) \| (\S+) \|$", README, re.M)
    assert found == [(r["recipe"], r["png_score"], r["jpeg_score"]) for r in rows]
    assert [row["recipe"] for row in rows] == [*RECIPES]
    assert {row["png_level"] for row in rows} == {"0.0"}
    assert max(float(row["jpeg_level"]) for row in rows) <= 6
    assert "within 6 of 255 levels in Chromium 156" in " ".join(README.split())
    different = {row["recipe"]: int(row["pictures"]) - int(row["same_class"]) for row in rows}
    assert {recipe for recipe, count in different.items() if count} == {"static_int8", "int8"}
    assert max(different.values()) == 1


def test_it_names_what_is_there():
    assert f"http://127.0.0.1:{PORT}/" in README
    assert f"@litertjs/core` {PACKAGES[0].version}" in README
    for target in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (CHECKOUT / target).exists(), target
    named = set(re.findall(r"`([a-z]+\.js)`", README))
    assert named == {file.name for file in CHECKOUT.glob("*.js")}
