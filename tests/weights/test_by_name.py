"""Released weights by name."""

import numpy as np
import pytest

import keras_mixer
from keras_mixer.loading import class_names
from keras_mixer.models import BUILDERS, release_name
from keras_mixer.models.mlp_mixer import MIXER
from keras_mixer.weights import Release
from tests.weights import official

# The public bucket's files, with their sizes in MiB: its listing in vit_jax.ipynb.
RELEASED = {
    "imagenet1k/Mixer-B_16.npz": 228.47,
    "imagenet1k/Mixer-L_16.npz": 794.29,
    "imagenet21k/Mixer-B_16.npz": 289.61,
    "imagenet21k/Mixer-L_16.npz": 875.78,
    "sam/Mixer-B_16.npz": 228.47,
    "sam/Mixer-B_32.npz": 230.04,
    "gsam/Mixer-B_16.npz": 228.47,
    "gsam/Mixer-B_32.npz": 230.04,
    "gsam/Mixer-S_16.npz": 70.71,
    "gsam/Mixer-S_32.npz": 72.91,
    "gsam/Mixer-S_8.npz": 78.79,
}
BUCKET = "https://storage.googleapis.com/mixer_models/"
ROWS = [  # of the Mixer paper, whose sizes are known
    (builder, name, release)
    for builder in MIXER.variants.values()
    for name, release in builder.releases.items()
    if isinstance(release, Release)
]


def test_exactly_the_released_files_have_names():
    assert {release.url.removeprefix(BUCKET): release.mib for _, _, release in ROWS} == RELEASED
    for builder, name, release in ROWS:
        size = builder.__name__.removeprefix("Mixer")
        assert release.url == f"{BUCKET}{name}/Mixer-{size[0]}_{size[1:]}.npz"


@pytest.mark.parametrize(("builder", "name", "release"), ROWS, ids=lambda value: str(value)[:12])
def test_a_released_file_has_the_size_that_its_builder_s_arrays_make(builder, name, release):
    classes = 21843 if name == "imagenet21k" else 1000
    tokens = (224 // builder.sizes["patch_size"]) ** 2
    shapes = official.shapes(**builder.sizes, tokens=tokens, classes=classes)
    values = 4 * sum(int(np.prod(shape)) for shape in shapes.values())
    # np.savez adds a header of 128 bytes to each array, and the zip file two entries with its name
    container = sum(128 + 50 + 46 + 2 * len(f"{name}.npy") for name in shapes)
    assert (values + container) / 2**20 == pytest.approx(release.mib, abs=0.01)


@pytest.fixture
def published(bucket, monkeypatch):
    """Puts a file of random weights where the released weights of a builder are."""

    def publish(builder, name, classes=1000):
        path = bucket.folder / "published.npz"
        np.savez(path, **official.checkpoint(builder.sizes, classes=classes))
        bucket.content = path.read_bytes()
        monkeypatch.setitem(builder.releases, name, bucket.release)
        return np.load(path)

    return publish


def test_a_release_is_fetched_and_loaded_and_brings_its_classes(published, bucket):
    arrays = published(keras_mixer.MixerS32, "gsam", classes=30)
    model = keras_mixer.MixerS32(weights="gsam")
    assert model.output_shape == (None, 30)
    assert np.array_equal(model.get_layer("head").kernel, arrays["head/kernel"])
    keras_mixer.create_model("MixerS32", weights="gsam", include_top=False)
    assert bucket.requests == [None]  # the second came from the cache


def test_a_damaged_release_changes_nothing_and_says_what_is_wrong(published, bucket):
    published(keras_mixer.MixerS32, "gsam")
    bucket.content = b"PK" + bucket.content[2:-10_000] + bytes(10_000)
    with pytest.raises(ValueError, match=r"Some-Model\.npz cannot be read as a \.npz"):
        keras_mixer.MixerS32(weights="gsam")


@pytest.mark.parametrize(
    ("builder", "weights", "message"),
    [
        (
            "MixerS16",
            "imagenet1k",
            r"was released as gsam; .*'imagenet1k' exists for MixerB16 and",
        ),
        ("MixerB32", "imagenet21k", r"was released as sam and gsam; .*for MixerB16 and MixerL16\."),
        (
            "MixerB16",
            "imagenet-1k",
            r"was released as imagenet1k, imagenet21k, sam and gsam; got weights='imagenet-1k'\."
            r" Did you mean 'imagenet1k'\?",
        ),
        (
            "MixerL32",
            "imagenet",
            r"was never released; .* 'imagenet' exists for MixerS32, MixerS16",
        ),
        ("MixerTi4", "imagenet", r"was released as cifar10; got weights='imagenet'\."),
        ("MixerH14", "jft", r"was never released; got weights='jft'\. A checkpoint file"),
    ],
)
def test_a_release_that_does_not_exist_is_answered_with_those_that_do(builder, weights, message):
    with pytest.raises(ValueError, match=rf"{builder} {message}"):
        keras_mixer.create_model(builder, weights=weights)


IMAGENET = {
    **dict.fromkeys(("MixerB16", "MixerL16"), "imagenet1k"),
    **dict.fromkeys(("MixerS32", "MixerS16", "MixerS8", "MixerB32"), "gsam"),
    **dict.fromkeys(("ResMlpS12", "ResMlpS24", "ResMlpS36", "ResMlpB24"), "imagenet1k"),
    **dict.fromkeys(("GMlpS", "GMixer24"), "ra3_in1k"),
    **dict.fromkeys(("HireMlpTiny", "HireMlpSmall", "HireMlpBase"), "imagenet1k"),
}


@pytest.mark.parametrize("builder", BUILDERS)
def test_imagenet_means_the_usual_release_of_1000_classes_if_there_is_one(builder):
    assert release_name(BUILDERS[builder], "imagenet") == IMAGENET.get(builder, "imagenet")


def test_imagenet_is_loaded_as_the_release_and_says_which(published, bucket, capsys):
    arrays = published(keras_mixer.MixerS32, "gsam")
    model = keras_mixer.load_model("MixerS32", weights="imagenet")
    assert np.array_equal(model.get_layer("head").kernel, arrays["head/kernel"])
    assert capsys.readouterr().err.count("MixerS32: weights 'imagenet' are 'gsam'.\n") == 1
    assert class_names("MixerS32", "imagenet", count=1000)[0] == "tench"
    assert bucket.requests == [None]


@pytest.mark.parametrize("weights", [True, 3, b"x.npz"])
def test_what_is_neither_a_name_nor_a_path_is_an_error(weights):
    with pytest.raises(ValueError, match="None, a name or a path; got"):
        keras_mixer.MixerS16(weights=weights)


@pytest.mark.parametrize("weights", ["folder/imagenet1k", "checkpoint.h5", "model.ckpt"])
def test_what_looks_like_a_path_is_taken_for_one(weights):
    with pytest.raises(ValueError, match=rf"Weights are read from .*; got '{weights}'"):
        keras_mixer.MixerS16(weights=weights)


def test_help_names_the_releases():
    assert "\nReleased weights: sam, gsam.\n" in keras_mixer.MixerB32.__doc__
    assert "Released weights: none." in keras_mixer.MixerH14.__doc__
