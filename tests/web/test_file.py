"""The page reads of a `.tflite` file what the package reads, and says what its scores are."""

import io
import zipfile

import numpy as np
import pytest

from keras_mixer.tflite import Metadata, with_metadata
from keras_mixer.tflite.file.content import packed, unpacked
from keras_mixer.tflite.run.runner import Runner
from tests.cases import CASES
from tests.tflite.files import tiny_file
from tests.web.node import needs_node, run
from tests.web.test_pixels import for_page

READ = """
import { readFile } from "PAGE/file.js";
import { viewOf } from "PAGE/show.js";
const found = [];
for (const name of given) {
  try {
    const file = await readFile(name, bytes(name));
    viewOf(file);
    found.push(file);
  } catch (error) {
    found.push({ error: error.message });
  }
}
give(found);
"""
ROWS = """
import { rowsOf, taskOf } from "PAGE/scores.js";
const [activation, scores, labels] = given;
const file = { name: "m.tflite", activation, labels, outputs: [{ shape: [1, scores.length] }] };
try {
  const rows = rowsOf(taskOf(file), scores.map((score) => score ?? NaN));
  give(rows.map(({ name, text }) => [name, text]));
} catch (error) {
  give(error.message);
}
"""


def read(folder, files):
    """What the page reads of files' contents, or why it refuses them."""
    names = [f"file_{i}.tflite" for i in range(len(files))]
    for name, content in zip(names, files, strict=True):
        (folder / name).write_bytes(content)
    return run(READ, folder, names)


@needs_node
def test_metadata_tensors_and_preprocessing_are_those_that_the_package_reads(tmp_path):
    names = tuple(f"Größe {i}" for i in range(7))
    files = [
        tiny_file(),
        tiny_file(case=CASES[1]),  # mean and deviation by channel
        with_metadata(tiny_file(), Metadata(name="tiny", input_range=(-1, 1), labels=names)),
        with_metadata(tiny_file(), Metadata(input_range=(0.1, 1 / 3))),
        tiny_file("int8", integer_io=True),
    ]
    for content, found in zip(files, read(tmp_path, files), strict=True):
        runner = Runner(content)
        assert found["preprocessing"] == for_page(runner.preprocessing, runner.shape[-1])
        assert tuple(found["labels"]) == runner.names
        assert found["activation"] == runner.activation
        assert found["size"] == len(content)
        [image], [scores] = found["inputs"], found["outputs"]
        for tensor, details in ((image, runner.input), (scores, runner.output)):
            assert tensor["name"] == details["name"]
            assert tensor["shape"] == details["shape"].tolist()
            assert tensor["type"] == np.dtype(details["dtype"]).name


@needs_node
@pytest.mark.parametrize(
    ("activation", "scores", "labels", "shown"),
    [
        ("softmax", [0.25, 0.75], ["cat", "dog"], [["dog", "75.0 %"], ["cat", "25.0 %"]]),
        ("sigmoid", [0.9, 0.8], [], [["class 0", "90.0 %"], ["class 1", "80.0 %"]]),
        ("sigmoid", [0.9], ["cat", "dog"], [["dog", "90.0 %"], ["cat", "10.0 %"]]),
        ("sigmoid", [0.2], ["dog"], [["not dog", "80.0 %"], ["dog", "20.0 %"]]),
        (None, [3.25, -1.5], [], [["class 0", "3.250"], ["class 1", "-1.500"]]),
        (None, [123.45], [], [["value", "123.5"]]),
        ("softmax", [1.0], [], "one score from a softmax"),
        ("softmax", [0.5, 0.5], ["cat"], "gives 2 scores; it has 1 labels"),
        ("softmax", [0.5, None], [], "not finite"),
    ],
)
def test_the_page_says_what_scores_are(activation, scores, labels, shown, tmp_path):
    found = run(ROWS, tmp_path, [activation, scores, labels])
    assert found == shown or (isinstance(shown, str) and shown in found)


def altered(content, change):
    """A file after a change to its `ModelT`."""
    model = unpacked(content, "test")
    change(model, model.subgraphs[0])
    return packed(model, {}, len(content), "test")


def of_segmentation(model, main):
    main.tensors[main.outputs[0]].shape = np.array((1, 32, 32, 21), np.int32)


def of_video(model, main):
    main.tensors[main.inputs[0]].shape = np.array((1, 8, 16, 32, 3), np.int32)


def without_metadata(model, main):
    model.metadata = []


def of_a_ring(model, main):
    """The output comes from a QUANTIZE whose input is its output."""
    code, op = model.operatorCodes[main.operators[-1].opcodeIndex], main.operators[-1]
    code.builtinCode, code.deprecatedBuiltinCode = 114, 114
    op.inputs = op.outputs = main.outputs


@needs_node
def test_ops_in_a_ring_end(tmp_path):
    [found] = read(tmp_path, [altered(tiny_file(), of_a_ring)])
    assert found["activation"] is None


def bomb(metadata, size):
    """Metadata whose labels.txt unpacks to more than a page can take."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.txt", b"\0" * size)
    return metadata + file.getvalue()


@needs_node
def test_files_that_it_cannot_show_are_refused_in_words(tmp_path):
    good = with_metadata(tiny_file(), Metadata(input_range=(-1, 1), labels=tuple("abcdefg")))
    files = {
        "is not a .tflite file: bytes 4 to 8": b"no model at all",
        "is not a .tflite file": b"",
        "is damaged or cut short": good[: len(good) // 2],
        "labels.txt, which is missing": good[:-10],
        "its labels.txt has 17000000 bytes, more than": bomb(good, 17_000_000),
        "of another task: it gives [1, 32, 32, 21]": altered(tiny_file(), of_segmentation),
        "takes [1, 8, 16, 32, 3]; this page gives it one picture": altered(tiny_file(), of_video),
        "does not say which values black and white": altered(tiny_file(), without_metadata),
    }
    for words, found in zip(files, read(tmp_path, [*files.values()]), strict=True):
        assert words in found["error"]
