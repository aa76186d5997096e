"""What is read from a file, and what is refused."""

import json
import pickle
import zipfile

import h5py
import keras
import numpy as np
import pytest

import keras_mixer
from keras_mixer import Preprocessing
from keras_mixer._backend import settings
from tests.cases import BY_NAME
from tests.weights.unchanged import unchanged

MIXER = BY_NAME["mlp_mixer"]


@pytest.fixture
def model():
    return MIXER.trained()


@pytest.fixture
def saved(model, tmp_path):
    """One file of every kind that this package or Keras writes."""
    keras_mixer.save_weights(model, tmp_path / "model.npz")
    model.save_weights(tmp_path / "model.weights.h5")
    model.save(tmp_path / "model.keras")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (name, damage)
        for name in ("model.npz", "model.weights.h5", "model.keras")
        for damage in ("truncated", "a byte changed", "empty", "something else")
        # Keras writes its HDF5 files without checksums.
        if (name, damage) != ("model.weights.h5", "a byte changed")
    ],
)
def test_a_damaged_file_is_one_error_and_changes_nothing(model, saved, name, damage):
    path = saved / name
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(
        {
            "truncated": content[:half],
            "a byte changed": content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :],
            "empty": b"",
            "something else": b"<html>Sign in to the hotel's network</html>",
        }[damage]
    )
    with (
        unchanged(model),
        pytest.raises(ValueError, match=rf"{name} cannot be read as a .*nothing was loaded: .+"),
    ):
        keras_mixer.load_weights(model, path)


class Payload:
    """Runs code when it is unpickled, in a reader that lets it."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def pth(path, content):
    """A file as `torch.save` makes it, with any pickle inside."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("model/data.pkl", content)
        archive.writestr("model/version", "3\n")


@pytest.mark.parametrize("form", ["zip", "early", "bare"])
def test_a_pickled_payload_is_refused_and_not_run(model, tmp_path, form):
    content = pickle.dumps({"stem.proj.weight": Payload(tmp_path / "ran")}, protocol=2)
    path = tmp_path / "model.pth"
    if form == "zip":
        pth(path, content)
    elif form == "early":
        magic = [pickle.dumps(value) for value in (0x1950A86A20F9469CFC6C, 1001, {})]
        path.write_bytes(b"".join([*magic, content]))
    else:
        path.write_bytes(content)
    refusal = r"model\.pth cannot be read .*asks to run \w+\.open, and only tensors"
    with unchanged(model), pytest.raises(ValueError, match=refusal):
        keras_mixer.load_weights(model, path)
    assert not (tmp_path / "ran").exists()
    pickle.loads(content)["stem.proj.weight"].close()
    assert (tmp_path / "ran").exists()  # so the payload does work


def test_a_zip_file_that_is_not_pytorch_s_is_an_error_that_says_so(model, saved):
    (saved / "model.npz").rename(saved / "model.pth")
    with pytest.raises(ValueError, match="it is a zip file, but not one of PyTorch"):
        keras_mixer.load_weights(model, saved / "model.pth")


def test_an_npz_of_pickled_objects_is_refused_and_not_run(model, tmp_path):
    payload = np.array([Payload(tmp_path / "ran")], dtype=object)
    np.savez(tmp_path / "model.npz", **{"stem/kernel": payload})
    with pytest.raises(ValueError, match=r"model\.npz cannot be read"):
        keras_mixer.load_weights(model, tmp_path / "model.npz")
    assert not (tmp_path / "ran").exists()


def torch_pickle(storage_size, offset, shape, strides):
    """The pickle of one tensor, by hand: protocol 0 says what it does in letters."""
    numbers = "".join(f"L{n}L\n" for n in shape), "".join(f"L{n}L\n" for n in strides)
    return (
        "(dS'stem.proj.weight'\n"
        "ctorch._utils\n_rebuild_tensor_v2\n("
        f"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nL{storage_size}L\ntQ"
        f"L{offset}L\n({numbers[0]}t({numbers[1]}tI00\nNtRs."
    ).encode()


@pytest.mark.parametrize(
    ("tensor", "problem"),
    [
        ((4, 0, (3, 2), (2, 1)), "reaches beyond its storage"),
        ((4, 3, (2,), (1,)), "reaches beyond its storage"),
        ((4, 0, (2,), (-1,)), "makes no sense"),
        ((4, 0, (2, 2), (1,)), "makes no sense"),
        ((5, 0, (2,), (1,)), "storage 0 is incomplete"),
        ((4, 0, (10**12,), (0,)), "reaches beyond its storage"),
    ],
)
def test_a_tensor_that_points_outside_its_data_is_refused(model, tmp_path, tensor, problem):
    path = tmp_path / "model.pth"
    pth(path, torch_pickle(*tensor))
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model/data/0", bytes(16))
    with pytest.raises(ValueError, match=problem):
        keras_mixer.load_weights(model, path)


def test_the_tensor_of_that_test_is_read_where_it_lies_within(tmp_path):
    from keras_mixer.weights.files import read

    pth(tmp_path / "model.pth", torch_pickle(6, 1, (2, 2), (1, 2)))
    with zipfile.ZipFile(tmp_path / "model.pth", "a") as archive:
        archive.writestr("model/data/0", np.arange(6, dtype="<f4").tobytes())
    assert read(tmp_path / "model.pth")["stem.proj.weight"].tolist() == [[1, 3], [2, 4]]


@pytest.mark.parametrize(
    "kind", ["a linked layer", "a linked array", "an external array", "a virtual array"]
)
def test_a_weights_file_that_points_into_another_file_is_refused(model, saved, kind):
    (saved / "secret.bin").write_bytes(bytes(28))
    with h5py.File(saved / "secret.h5", "w") as other:
        other["secret"] = np.zeros(7, np.float32)
    with h5py.File(saved / "model.weights.h5", "r+") as file:
        bias = file["layers/dense/vars"]
        del bias["1"]
        if kind == "a linked layer":
            del file["layers/dense"]
            file["layers/dense"] = h5py.ExternalLink("secret.h5", "/")
        elif kind == "a linked array":
            bias["1"] = h5py.ExternalLink("secret.h5", "/secret")
        elif kind == "an external array":
            bias.create_dataset("1", (7,), "<f4", external=[(saved / "secret.bin", 0, 28)])
        else:
            layout = h5py.VirtualLayout((7,), "<f4")
            layout[:] = h5py.VirtualSource(saved / "secret.h5", "secret", (7,))
            bias.create_virtual_dataset("1", layout)
    with unchanged(model), pytest.raises(ValueError, match="points into another file"):
        keras_mixer.load_weights(model, saved / "model.weights.h5")


def test_a_file_of_an_unknown_kind_is_an_error_that_lists_the_known_ones(model):
    with pytest.raises(ValueError, match=r"\.npz, \.safetensors, .*\.keras files; got 'x\.ckpt'"):
        keras_mixer.load_weights(model, "x.ckpt")


@pytest.mark.parametrize("name", ["x.npz", "x.safetensors", "x.pth", "x.weights.h5", "x.keras"])
def test_a_file_that_is_not_there_is_named(model, name):
    with pytest.raises(FileNotFoundError, match=rf"no weights file at '{name}'"):
        keras_mixer.load_weights(model, name)


def test_one_array_without_a_name_is_an_error(model, tmp_path):
    with (tmp_path / "x.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(ValueError, match="one array without a name"):
        keras_mixer.load_weights(model, tmp_path / "x.npz")


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_a_file_of_a_model_in_pure_bfloat16_is_read_to_the_bit(tmp_path, suffix):
    with settings():  # which are put back afterwards
        keras.config.set_dtype_policy("bfloat16")
        model = MIXER.trained()
    path = tmp_path / f"model{suffix}"
    (model.save if suffix == ".keras" else model.save_weights)(path)
    again = MIXER.tiny(weights=path)
    for ours, theirs in zip(model.weights, again.get_weights(), strict=True):
        assert ours.dtype == "bfloat16"
        assert np.array_equal(keras.ops.convert_to_numpy(ours).astype(np.float32), theirs)


def test_what_training_leaves_in_a_file_is_passed_over(tmp_path):
    model = MIXER.trained(drop_path_rate=0.5, depth=1)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    model.optimizer.build(model.trainable_variables)  # or the step is traced twice
    model.fit(MIXER.images(), np.arange(4), verbose=0)
    model.save(tmp_path / "model.keras")
    again = MIXER.tiny(weights=tmp_path / "model.keras", depth=1)
    for ours, theirs in zip(model.get_weights(), again.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


def with_config(path, config):
    """Replaces the configuration in a `.keras` file."""
    with zipfile.ZipFile(path) as old:
        weights = old.read("model.weights.h5")
    with zipfile.ZipFile(path, "w") as new:
        new.writestr("config.json", config)
        new.writestr("model.weights.h5", weights)
    return path


def ours(kind, **config):
    """The configuration of a layer of this package."""
    return json.dumps({"registered_name": f"keras_mixer>{kind}", "config": config})


@pytest.mark.parametrize(
    "config",
    [
        '{"module": "os", "class_name": "system", "registered_name": "os>system", "config": {}}',
        "[]",
        "3",
        ours("MixerBlock", gelu=3),
        ours("MixerBlock", gelu={"class_name": "system"}),
        ours("ImagePreprocessing", mean="no number"),
        ours("ImagePreprocessing", **Preprocessing().as_dict() | {"crop": "os.system"}),
        ours("ImagePreprocessing", **Preprocessing().as_dict() | {"std": [0, 0, 0]}),
    ],
)
def test_the_configuration_of_a_keras_archive_is_read_as_data(model, saved, config):
    """No class that it names is imported and no code of its is run, and nonsense is passed over."""
    path = with_config(saved / "model.keras", config)
    other = MIXER.tiny()
    keras_mixer.load_weights(other, path)
    assert np.array_equal(other(MIXER.images()), model(MIXER.images()))
    again = MIXER.tiny(weights=path)
    assert np.array_equal(again(MIXER.images()), model(MIXER.images()))
    assert keras_mixer.preprocessing(again) == keras_mixer.preprocessing(model)


@pytest.mark.parametrize("config", ["no JSON", "[" * 100_000, b"\xff"])
def test_a_keras_archive_whose_configuration_is_damaged_is_one_error(model, saved, config):
    path = with_config(saved / "model.keras", config)
    refusal = r"model\.keras cannot be read as a \.keras file, so nothing was loaded: "
    with unchanged(model), pytest.raises(ValueError, match=refusal):
        keras_mixer.load_weights(model, path)
