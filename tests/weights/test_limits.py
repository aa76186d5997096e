"""Files that ask for far more than they hold are refused quickly, in words, and change nothing."""

import io
import json
import zipfile
from collections import OrderedDict

import h5py
import numpy as np
import pytest
from safetensors.numpy import save_file

import keras_mixer
from keras_mixer.weights import limits
from keras_mixer.weights.files import read
from tests.cases import CASES
from tests.weights.test_files import pth
from tests.weights.unchanged import unchanged

MIXER = CASES[0]


@pytest.fixture(scope="module")
def model():
    return MIXER.trained()


@pytest.fixture
def saved(model, tmp_path):
    """The arrays of the model by the names of Google's layout."""
    keras_mixer.save_weights(model, tmp_path / "saved.npz")
    with np.load(tmp_path / "saved.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize(
    ("value", "dtype", "problem"),
    [
        (np.nan, "f4", r"stem/bias: 1 of 24 are NaN or infinite"),
        (-np.inf, "f4", r"stem/bias: 1 of 24 are NaN or infinite"),
        (1e300, "f8", r"stem/bias: 1 of 24 are NaN or infinite"),
        (1, "?", r"stem/bias: of type bool"),
        (1, "u8", r"stem/bias: of type uint64"),
    ],
)
def test_what_cannot_be_weights_is_refused_by_name(model, saved, tmp_path, value, dtype, problem):
    saved["stem/bias"] = saved["stem/bias"].astype(dtype)
    saved["stem/bias"][3] = value
    np.savez(tmp_path / "m.npz", **saved)
    with unchanged(model), pytest.raises(ValueError, match=rf"m\.npz holds what .*{problem}"):
        keras_mixer.load_weights(model, tmp_path / "m.npz")


def npy(shape, dtype="<f4", data=b""):
    """An array's file, which may say anything of its shape."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        file, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return file.getvalue() + data


def zipped(path, *entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in entries:
            archive.writestr(name, data)


def absurd_shape(path):
    zipped(path, ("a.npy", npy((10**15,))))


def negative_shape(path):
    zipped(path, ("a.npy", npy((-1, -(10**12)))))


def zip_bomb(path):
    zipped(path, ("a.npy", npy((3 * 10**5,), data=bytes(12 * 10**5))))


def name_twice(path):
    with pytest.warns(UserWarning, match="Duplicate"):
        zipped(path, *[("a.npy", npy((1,), data=bytes(4)))] * 2)


def name_with_and_without_suffix(path):
    zipped(path, *[(name, npy((1,), data=bytes(4))) for name in ("a.npy", "a")])


def many_arrays(path):
    zipped(path, *[(f"{i}.npy", npy((0,))) for i in range(120)])


def other_version(path):
    zipped(path, ("a.npy", b"\x93NUMPY\x09\x00" + bytes(100)))


def many_files(path):
    zipped(path, *[(f"{i}.txt", b"") for i in range(201)])


def list_of_tensors(path):
    pth(path, b"\x80\x02]q\x00.")


def big_endian(path):
    pth(path, b"\x80\x02}q\x00.")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("model/byteorder", "big")


def no_magic(path):
    path.write_bytes(b"\x80\x02K\x01.")


def rebuilt(arguments):
    """A pickle of one tensor that is rebuilt from these arguments."""
    return b"(dS'a'\nctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tRs."


def no_storage(path):
    pth(path, rebuilt(b"L1L\nL0L\n(t(t"))


def unknown_storage(path):
    pth(path, rebuilt(b"(S'x'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nL1L\ntQL0L\n(t(t"))


def shape_of_texts(path):
    pth(path, b"(dS'a'\nctorch\nSize\n((S'x'\nttRs.")


def number_for_a_name(path):
    torch = pytest.importorskip("torch")
    torch.save({1: torch.zeros(1)}, path)


def header_twice(path):
    save_file({"a": np.zeros(1, np.float32), "b": np.zeros(1, np.float32)}, path)
    path.write_bytes(path.read_bytes().replace(b'"b"', b'"a"'))


def nested_tuples(path):
    pth(path, b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s.")


def far_memo(path):
    pth(path, b"\x80\x02}r\xff\xff\xff\x7f.")


def key_twice(path):
    torch = pytest.importorskip("torch")
    file = io.BytesIO()
    torch.save(OrderedDict(aa=torch.zeros(1), bb=torch.ones(1)), file)
    with zipfile.ZipFile(file) as archive:
        entries = {info.filename: archive.read(info) for info in archive.infolist()}
    zipped(path, *((name, data.replace(b"bb", b"aa")) for name, data in entries.items()))


def doubled_links(path):
    with h5py.File(path, "w") as file:
        for n in range(25):
            group = file.create_group(f"level{n}")
            if n:
                group["a"] = group["b"] = file[f"level{n - 1}"]


def linked_in_a_circle(path):
    with h5py.File(path, "w") as file:
        file["a/b"] = file["/"]


def array_without_data(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("layers/dense/vars/0", (10**6, 10**6), "f4", chunks=True)


def layers_of_one_name(path):
    with h5py.File(path, "w") as file:
        for layer in ("one", "two"):
            file[f"{layer}/vars/0"] = np.zeros(3, np.float32)
            file[f"{layer}/vars"].attrs["name"] = "same"


def large_configuration(path):
    weights = io.BytesIO()
    h5py.File(weights, "w").close()
    config = json.dumps({"x": " " * 2000})
    zipped(path, ("config.json", config), ("model.weights.h5", weights.getvalue()))


@pytest.mark.parametrize(
    ("name", "make", "problem"),
    [
        ("m.npz", absurd_shape, r"a\.npy is cut short: it says that it has shape \(10+,\)"),
        ("m.npz", negative_shape, "shape"),
        ("m.npz", zip_bomb, "would unpack to more than 1,000,000 bytes"),
        ("m.npz", name_twice, r"holds 'a\.npy' twice"),
        ("m.npz", name_with_and_without_suffix, "holds 'a' twice"),
        ("m.npz", many_arrays, "more than 100 arrays"),
        ("m.npz", other_version, r"a\.npy is of an unknown version of NumPy's format"),
        ("m.npz", many_files, "it holds 201 files"),
        ("m.pth", list_of_tensors, r"no dict of tensors by name, as model\.state_dict\(\) gives"),
        ("m.pth", big_endian, "it was written on a big-endian machine"),
        ("m.pth", no_magic, "it is no PyTorch file"),
        ("m.pth", no_storage, "it holds a tensor without a storage"),
        ("m.pth", unknown_storage, "it holds a storage of an unknown kind"),
        ("m.pth", shape_of_texts, "a tensor's shape makes no sense"),
        ("m.pth", number_for_a_name, "the name of a tensor is 1"),
        ("m.safetensors", header_twice, "invalid offset for tensor"),
        ("m.pth", nested_tuples, "its pickle is far larger"),
        ("m.pth", far_memo, "its pickle is far larger"),
        ("m.pth", key_twice, "holds 'aa' twice"),
        ("m.weights.h5", doubled_links, "more than 100 groups"),
        ("m.weights.h5", linked_in_a_circle, "more than 100 groups|nested"),
        ("m.weights.h5", array_without_data, "would unpack to more than"),
        ("m.weights.h5", layers_of_one_name, "holds 'same/0' twice"),
        ("m.keras", large_configuration, "its configuration has more than 1,000 bytes"),
    ],
)
def test_a_file_that_asks_for_too_much_is_refused(
    model, tmp_path, monkeypatch, name, make, problem
):
    """With lower limits, so that the files are small."""
    from keras_mixer.weights import files

    monkeypatch.setattr(limits, "BYTES", 10**6)
    monkeypatch.setattr(limits, "ARRAYS", 100)
    monkeypatch.setattr(files, "GROUPS", 100)
    monkeypatch.setattr(files, "CONFIG", 1000)
    make(tmp_path / name)
    with (
        unchanged(model),
        pytest.raises(ValueError, match=rf"{name} cannot be read as .*({problem})"),
    ):
        keras_mixer.load_weights(model, tmp_path / name)


def test_a_well_compressed_file_is_read(tmp_path):
    arrays = {"a": np.zeros(10**6, np.float32)}
    np.savez_compressed(tmp_path / "m.npz", **arrays)
    assert (tmp_path / "m.npz").stat().st_size < 10**4
    assert read(tmp_path / "m.npz")["a"].size == 10**6


def test_text_is_no_weights(model, tmp_path):
    np.savez(tmp_path / "m.npz", **{name: np.array("x") for name in "abcdefg"})
    said = r"m\.npz holds something else than numbers: a, b, c, d, e and 2 more"
    with unchanged(model), pytest.raises(ValueError, match=said):
        keras_mixer.load_weights(model, tmp_path / "m.npz")


def test_bfloat16_in_an_npz_is_read(tmp_path):
    bfloat16 = pytest.importorskip("ml_dtypes").bfloat16
    np.savez(tmp_path / "m.npz", a=np.array([1.5, -3e38], bfloat16))
    assert np.array_equal(
        read(tmp_path / "m.npz")["a"], np.array([1.5, -3e38], bfloat16).astype("f4")
    )
