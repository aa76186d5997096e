"""A file that says what goes in and what comes out, to MediaPipe too."""

import io
import zipfile

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from keras_mixer.tflite import Metadata, convert, read_metadata, with_metadata
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
