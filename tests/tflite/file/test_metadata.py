"""A file that says what goes in and what comes out, to MediaPipe too."""

import io
import json
import zipfile

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_mixer import Preprocessing
from keras_mixer.tflite import Classifier, Metadata, convert, inspect, read_metadata, with_metadata
from keras_mixer.tflite.file import schema as metadata_schema
from keras_mixer.tflite.file.content import packed, unpacked, with_entries, with_text_file
from keras_mixer.tflite.file.labels import read_labels
from keras_mixer.tflite.file.metadata import CLASSES, ENTRY, preprocessing_entry
from keras_mixer.tflite.run.runner import Runner
from tests.cases import CASES
from tests.tflite.files import tiny_file

CASE = CASES[0]
FULL = Metadata(
    name="Shapes",
    description="Tells seven shapes apart.",
    version="1.2",
    author="Ünal & Söhne",
    license="Apache-2.0",
    input_range=(-1.0, 1.0),
    labels=("circle", "dé", "a, b", "天", "x" * 300, "with space", "7"),
)


@pytest.fixture(scope="module")
def bare():
    return tiny_file()


@pytest.fixture(scope="module")
def full(bare):
    return with_metadata(bare, FULL)


def entry(content):
    """The bytes of LiteRT's metadata in a file."""
    model = schema.Model.GetRootAs(content, 0)
    entries = {model.Metadata(i).Name(): model.Metadata(i) for i in range(model.MetadataLength())}
    return model.Buffers(entries[b"TFLITE_METADATA"].Buffer()).DataAsNumpy().tobytes()


@pytest.mark.parametrize(
    "metadata",
    [
        FULL,
        Metadata(),
        Metadata(input_range=(0.0, 255.0)),
        Metadata(input_range=(0.0, 1.0), labels=tuple("abcdefg")),
        Metadata(input_range=(1.0, 0.0)),
        Metadata(input_range=(-2.1179, 2.64)),
    ],
    ids=lambda metadata: str(metadata.input_range),
)
def test_metadata_come_back_as_they_were_given(bare, metadata, tmp_path):
    content = with_metadata(bare, metadata)
    assert read_metadata(content) == metadata
    (tmp_path / "model.tflite").write_bytes(content)
    assert read_metadata(tmp_path / "model.tflite") == metadata


def test_a_file_without_metadata_has_none(bare):
    assert read_metadata(bare) is None


def test_the_same_metadata_give_the_same_file_and_others_replace_them(bare, full):
    assert with_metadata(bare, FULL) == full
    assert with_metadata(full, FULL) == full
    assert with_metadata(with_metadata(full, Metadata()), FULL) == full


def test_the_model_computes_as_before(bare, full):
    image = CASE.images()[0]
    assert np.array_equal(Runner(full)(image), Runner(bare)(image))
    signatures = [Runner(c).interpreter.get_signature_list() for c in (bare, full)]
    assert signatures[0] == signatures[1]


def test_every_buffer_is_aligned_to_16_bytes(full):
    """force_align in LiteRT's schema; TensorFlow's converter itself does not keep to it."""
    model = schema.Model.GetRootAs(full, 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    starts = [b._tab.Vector(b._tab.Offset(4)) for b in buffers if b.DataLength()]
    assert len(starts) > 30
    assert {start % 16 for start in starts} == {0}


def test_its_labels_are_a_zip_that_any_tool_opens(full):
    with zipfile.ZipFile(io.BytesIO(full)) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt").decode() == "".join(f"{x}\n" for x in FULL.labels)
        # Where LiteRT's own tools look for it: counted from the beginning of the whole file.
        assert full[archive.infolist()[0].header_offset :][:4] == b"PK\x03\x04"
    end = full.rindex(b"PK\x05\x06")
    directory = int.from_bytes(full[end + 16 : end + 20], "little")
    assert full[directory:][:4] == b"PK\x01\x02"


def test_mediapipe_s_schema_reads_the_same(full):
    oracle = pytest.importorskip("mediapipe.tasks.metadata.metadata_schema_py_generated")
    packed = entry(full)
    assert oracle.ModelMetadata.ModelMetadataBufferHasIdentifier(packed, 0)
    found = oracle.ModelMetadataT.InitFromPackedBuf(packed)
    words = found.name, found.description, found.version, found.author, found.license
    assert [word.decode() for word in words] == [
        *(FULL.name, FULL.description, FULL.version, FULL.author, FULL.license)
    ]
    assert found.minParserVersion == b"1.0.0"
    [graph] = found.subgraphMetadata
    [image], [scores] = graph.inputTensorMetadata, graph.outputTensorMetadata

    assert image.name == b"image"
    assert b"16 pixels high and 32 wide" in image.description
    assert image.content.contentPropertiesType == oracle.ContentProperties.ImageProperties
    assert image.content.contentProperties.colorSpace == oracle.ColorSpaceType.RGB
    [unit] = image.processUnits
    assert unit.optionsType == oracle.ProcessUnitOptions.NormalizationOptions
    assert (unit.options.mean.tolist(), unit.options.std.tolist()) == ([127.5], [127.5])
    assert (image.stats.min.tolist(), image.stats.max.tolist()) == ([-1], [1])

    assert scores.name == b"scores"
    assert scores.content.contentPropertiesType == oracle.ContentProperties.FeatureProperties
    [labels] = scores.associatedFiles
    assert labels.name == b"labels.txt"
    assert labels.type == oracle.AssociatedFileType.TENSOR_AXIS_LABELS


@pytest.mark.parametrize("recipe", ["float32", "int8"])
def test_only_scores_after_a_softmax_are_called_probabilities(recipe):
    oracle = pytest.importorskip("mediapipe.tasks.metadata.metadata_schema_py_generated")
    images = CASE.images(8) if recipe == "int8" else None
    probable = convert(CASE.tiny(depth=1), recipe, calibration=images)
    for content, says in ((probable, b"probability"), (tiny_file(recipe), b"score")):
        packed = entry(with_metadata(content, FULL))
        [graph] = oracle.ModelMetadataT.InitFromPackedBuf(packed).subgraphMetadata
        [scores] = graph.outputTensorMetadata
        assert b"The %s of each class" % says in scores.description
        if content == probable:
            assert (scores.stats.min.tolist(), scores.stats.max.tolist()) == ([0], [1])
        else:
            assert scores.stats is None


def test_what_other_tools_wrote_is_read(bare):
    """Normalisation by channel, a locale, and DOS line ends, by MediaPipe's own classes."""
    oracle = pytest.importorskip("mediapipe.tasks.metadata.metadata_schema_py_generated")
    options = oracle.NormalizationOptionsT()
    options.mean, options.std = [0.0, 51.0, 255.0], [255.0, 51.0, 51.0]
    unit, image, scores = oracle.ProcessUnitT(), oracle.TensorMetadataT(), oracle.TensorMetadataT()
    unit.optionsType, unit.options = oracle.ProcessUnitOptions.NormalizationOptions, options
    image.processUnits = [unit]
    labels = oracle.AssociatedFileT()
    labels.name, labels.locale = "names.txt", "en"
    labels.type = oracle.AssociatedFileType.TENSOR_AXIS_LABELS
    scores.associatedFiles = [labels]
    graph, root = oracle.SubGraphMetadataT(), oracle.ModelMetadataT()
    graph.inputTensorMetadata, graph.outputTensorMetadata = [image], [scores]
    root.name, root.subgraphMetadata = "theirs", [graph]
    builder = flatbuffers.Builder()
    builder.Finish(root.Pack(builder), file_identifier=b"M001")

    model = schema.ModelT.InitFromPackedBuf(bare)
    added, named = schema.BufferT(), schema.MetadataT()
    added.data = np.frombuffer(builder.Output(), np.uint8)
    named.name, named.buffer = "TFLITE_METADATA", len(model.buffers)
    model.buffers.append(added)
    model.metadata.append(named)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    file = io.BytesIO(builder.Output())
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr("names.txt", "a\r\nb\r\n")

    found = read_metadata(file.getvalue())
    assert found.name == "theirs"
    assert found.labels == ("a", "b")
    assert found.input_range == ((0.0, -1.0, -5.0), (1.0, 4.0, 0.0))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": tuple("abc")}, "one label for each of 7 classes; got 3 labels"),
        ({"labels": ("a", "", *"cdefg")}, "got '' for class 1"),
        ({"labels": (*"abcdef", "g\nh")}, r"got 'g\\nh' for class 6"),
        ({"input_range": (0, 0)}, r"two different numbers.*got \(0, 0\)"),
        ({"input_range": (0, np.inf)}, "two different numbers"),
        ({"input_range": ((0, 0, 0), (1, 1, 1))}, "two different numbers"),
    ],
)
def test_metadata_that_do_not_fit_are_refused(bare, change, message):
    with pytest.raises(ValueError, match=message):
        with_metadata(bare, Metadata(**change))


@pytest.mark.parametrize("size", [0, 7, 100, 5000, -1000])
def test_a_truncated_file_gets_no_metadata(bare, size):
    with pytest.raises(ValueError, match=r"not a \.tflite file|cut short"):
        with_metadata(bare[:size], FULL)


def test_weights_behind_the_flatbuffer_get_no_metadata(bare):
    model = schema.ModelT.InitFromPackedBuf(bare)
    buffer = max(model.buffers, key=lambda b: 0 if b.data is None else len(b.data))
    buffer.offset, buffer.size, buffer.data = 64, len(buffer.data), None
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    with pytest.raises(ValueError, match="at most 2 GB, with the weights in the flatbuffer"):
        with_metadata(bytes(builder.Output()), Metadata("x"))


def test_a_file_whose_end_is_missing_is_not_read_as_one_without_labels(full):
    with pytest.raises(ValueError, match=r"name labels\.txt, which is missing"):
        read_metadata(full[:-40])


def test_damaged_metadata_are_one_clear_error(full):
    packed = entry(full)
    for damaged in (b"\xff" * len(packed), packed[:8] + b"\xff" * (len(packed) - 8)):
        with pytest.raises(ValueError, match="The metadata in The model cannot be read"):
            read_metadata(full.replace(packed, damaged))


def test_what_is_no_image_classifier_gets_no_metadata():
    import keras

    image = keras.Input((8, 8, 3))
    features = keras.Model(image, keras.layers.Conv2D(4, 3)(image))
    with pytest.raises(ValueError, match=r"image classifier.*\[1, 8, 8, 3\], \[1, 6, 6, 4\]"):
        with_metadata(convert(features), Metadata())
    with pytest.raises(FileNotFoundError, match=r"no \.tflite file at 'nowhere\.tflite'"):
        read_metadata("nowhere.tflite")


def normalised(bare, mean, std, units=1):
    """A file whose metadata have a mean and a deviation, of all or of each channel."""
    options = metadata_schema.table("NormalizationOptions", mean=mean, std=std)
    unit = metadata_schema.table(
        "ProcessUnit", options_type=metadata_schema.NORMALIZATION_OPTIONS, options=options
    )
    image = metadata_schema.table("TensorMetadata", process_units=[unit] * units)
    graph = metadata_schema.table("SubGraphMetadata", input_tensor_metadata=[image])
    root = metadata_schema.table("ModelMetadata", name="theirs", subgraph_metadata=[graph])
    who = "test"
    return packed(unpacked(bare, who), {ENTRY: metadata_schema.write(root)}, len(bare), who)


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ([0.0], [0.0]),
        ([0.0], [float("nan")]),
        ([0.0], [1e-40]),
        ([0.0], [float("inf")]),
        ([0.0], [1e30]),
        ([float("inf")], [1.0]),
        ([1e30], [1.0]),
        ([0.0, 0.0], [1.0, 1.0, 1.0]),
        ([0.0], []),
        ([0.0, 0.0, 0.0], [1.0, 0.0, 1.0]),
    ],
)
def test_a_mean_and_a_deviation_that_make_no_sense_are_one_error(bare, mean, std):
    content = normalised(bare, mean, std)
    for read in (read_metadata, inspect, Classifier):
        with pytest.raises(ValueError, match=r"The metadata in The model cannot be read: they "):
            read(content)


def test_more_tables_than_anybody_needs_are_an_error(bare):
    with pytest.raises(ValueError, match=r"cannot be read: 300 tables in process_units\."):
        read_metadata(normalised(bare, [0.0], [1.0], units=300))


def test_one_deviation_serves_all_channels(bare):
    found = read_metadata(normalised(bare, [0.0, 51.0, 255.0], [255.0]))
    assert found.input_range == ((0.0, -0.2, -1.0), (1.0, 0.8, 0.0))


@pytest.mark.parametrize("entry", [b"5", b"{", b'{"0": "a", "1": "b"}', b"\xff", b"[" * 10**5])
def test_damaged_names_of_two_classes_are_one_error(bare, entry):
    model = unpacked(with_metadata(bare, Metadata("x")), "test")
    with pytest.raises(ValueError, match="The metadata in The model cannot be read: they are dam"):
        read_metadata(packed(model, {CLASSES: entry}, len(bare), "test"))


def test_names_of_two_classes_beside_other_labels_are_passed_over(bare):
    content = with_metadata(bare, Metadata("x", labels=tuple("abcdefg")))
    model = unpacked(content, "test")
    model = packed(model, {CLASSES: b'["x", "g"]'}, len(bare), "test")
    assert read_metadata(with_text_file(model, "labels.txt", "a\nb\n")).labels == ("a", "b")


def with_labels(full, text, kind=zipfile.ZIP_DEFLATED):
    """The file with other content of its labels.txt."""
    file = io.BytesIO(full[: full.rindex(b"PK\3\4")])
    with zipfile.ZipFile(file, "a", kind) as archive:
        archive.writestr("labels.txt", text)
    return file.getvalue()


def test_labels_that_would_fill_the_memory_are_not_unpacked(full):
    content = with_labels(full, b"a\n" * 10**7)
    assert len(content) < 10**5
    with pytest.raises(ValueError, match=r"labels\.txt has 20,000,000 bytes, and at most"):
        read_metadata(content)


def test_labels_that_cannot_be_unpacked_are_one_error(full):
    content = with_labels(full, b"a\n" * 1000)
    start, index = content.rindex(b"PK\3\4") + 40, content.rindex(b"PK\1\2")
    for damaged in (
        content[:start] + bytes(9) + content[start + 9 :],
        with_labels(full, b"\xff\n" * 7),
        content[: index + 10] + b"\x63" + content[index + 11 :],  # an unknown compression
    ):
        with pytest.raises(ValueError, match=r"The metadata in The model cannot be read: its "):
            read_metadata(damaged)


def test_marks_of_editors_are_no_labels(full, tmp_path):
    expected = tuple("abcdefg")
    for text in ("\ufeffa\nb\nc\nd\ne\nf\ng\n\n", "a\r\nb\r\nc\r\nd\r\ne\r\nf\r\ng\r\n\r\n"):
        assert read_metadata(with_labels(full, text)).labels == expected
        (tmp_path / "labels.txt").write_bytes(text.encode())
        assert read_labels(tmp_path / "labels.txt") == expected


def test_a_file_of_labels_without_end_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_mixer.tflite.file.labels.BYTES", 10)
    (tmp_path / "labels.txt").write_text("a\n" * 10)
    with pytest.raises(ValueError, match=r"labels\.txt has 20 bytes; a file of labels has at most"):
        read_labels(tmp_path / "labels.txt")


def test_labels_with_control_characters_are_refused(bare):
    for label in ("a\0b", "\x1b[31m", "a\u2028b", "a\nb"):
        with pytest.raises(ValueError, match="without control characters"):
            with_metadata(bare, Metadata(labels=(label, *"bcdefg")))


def test_a_share_that_would_enlarge_pictures_without_end_is_refused(bare):
    tiny = preprocessing_entry(Preprocessing(crop="resize_crop", crop_share=1e-9))
    content = with_entries(bare, tiny, "test")
    with pytest.raises(ValueError, match=r"The preprocessing in The model .* crop_share is 1e-09"):
        Classifier(content)


@pytest.mark.slow
def test_a_terminal_without_greek_letters_gets_escapes(bare, command, tmp_path):
    (tmp_path / "m.tflite").write_bytes(
        with_metadata(bare, Metadata("\u03b1\u03b2", labels=tuple("\u03b1\u03b2cdefg")))
    )
    done = command("inspect", "m.tflite", cwd=tmp_path, PYTHONIOENCODING="cp1252")
    assert r"\u03b1\u03b2" in done.stdout


def test_a_terminal_does_not_obey_what_metadata_say(bare, here, tmp_path):
    evil = "\x1b]0;title\x07\x9b31m"
    content = with_metadata(bare, Metadata(evil, description=evil))
    (tmp_path / "m.tflite").write_bytes(content)
    assert read_metadata(content).name == evil  # in Python it is what it is
    for arguments in (["inspect", "m.tflite"], ["inspect", "m.tflite", "--json"]):
        printed = here(*arguments, cwd=tmp_path).stdout
        assert r"\u001b]0;title\u0007\u009b31m" in printed
        assert not {*printed} & {*"\x1b\x07\x9b"}
    assert json.loads(printed)["metadata"]["name"] == evil
    done = here("inspect", f"{evil}.tflite", cwd=tmp_path, check=False)
    assert not {*done.stderr} & {*"\x1b\x07\x9b"}
