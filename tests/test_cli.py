"""The command line, run as a shell runs it, on the files of a quickstart."""

import ast
import errno
import json
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import keras_mixer
from keras_mixer._backend import predict
from keras_mixer.cli import Recipe, main
from keras_mixer.cli.errors import is_mistake
from keras_mixer.cli.options import TaskName
from keras_mixer.tasks import TASKS
from tests.cases import CASES
from tests.conftest import ROOT
from tests.weights.official import checkpoint

COMMANDS = (
    *("quickstart", "doctor", "models", "train", "evaluate", "recipes", "preflight", "export"),
    *("inspect", "verify", "sensitivity", "benchmark", "c-array", "predict", "serve"),
    "show-weights",
)


def test_help_names_every_command(command, here, tmp_path):
    done = command("--help", cwd=tmp_path)
    for name in COMMANDS:
        assert f" {name} " in done.stdout
        assert here(name, "--help", cwd=tmp_path).stdout.count("--help") == 1
    assert done.stderr == ""


def test_its_recipes_are_the_package_s():
    assert [recipe.value for recipe in Recipe] == list(keras_mixer.tflite.RECIPES)
    assert [task.value for task in TaskName] == [*TASKS]


def test_models_lists_exact_sizes(here, tmp_path):
    done = here("models", cwd=tmp_path)
    for name in keras_mixer.list_models():
        [row] = [line for line in done.stdout.splitlines() if f" {name} " in line]
        builder = getattr(keras_mixer, name)
        assert [f"{builder.params:,}", f"{builder.macs / 1e9:.2f}"] == row.partition(name)[
            2
        ].split()[:2]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["*b16"], {"MixerB16", "CcsMixerB16"}),
        (["--family", "g_mlp"], {"GMlpTi", "GMlpS", "GMlpB"}),
        (["--family", "g_mlp", "--max-params", "20"], {"GMlpTi", "GMlpS"}),
        (["--max-gmacs", "1.33"], {"MixerS32", "MixerTi4", "GMlpTi"}),
        (["--family", "ccs", "--image-size", "224"], {"CcsMixerB16", "CcsResMlpS36"}),
        (["*Wide", "--image-size", "240"], {"S2MlpWide"}),
        (["Hire*y", "--image-size", "241"], {"HireMlpTiny"}),
        (["MixerB*", "--image-size", "448"], {"MixerB16", "MixerB32"}),
    ],
)
def test_models_are_listed_by_family_and_by_size(here, tmp_path, arguments, expected):
    done = here("models", *arguments, cwd=tmp_path)
    words = set(done.stdout.split())
    assert words & {*keras_mixer.list_models()} == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--family", "gmlp"], "'g_mlp'"),
        (["no*"], "MixerS32"),
        (["MixerB16", "--max-gmacs", "1"], "the models MixerB16 has at most 1.0 GMACs. Leave"),
        (["--max-gmacs", "0.01"], "Error: No model has at most 0.01 GMACs. Leave out an option."),
        (
            ["Mixer*16", "--max-params", "60", "--image-size", "256"],
            "has at most 60.0 million parameters and has weights that fit images of 256 x 256",
        ),
    ],
)
def test_models_that_are_not_there_are_an_error(here, tmp_path, arguments, said):
    done = here("models", *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert said in done.stderr


def test_export_writes_a_file_that_verify_confirms(here, quickstarted, held_out, tmp_path):
    folder = quickstarted / "quickstart"
    output = tmp_path / "digits"
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"number {i}" for i in range(10)))
    calibration = tmp_path / "some.npy"
    np.save(calibration, held_out[0][:100])
    arguments = ["--recipe", "int8", "--calibration", calibration, "--output", output]
    facts = ["--labels", names, "--name", "Digits", "--author", "A. B.", "--license", "MIT"]
    done = here("export", folder / "model.keras", *arguments, *facts, cwd=tmp_path)
    output /= "model_int8.tflite"
    assert f"{output}: " in done.stdout
    assert done.stderr == ""
    written = {path.name for path in output.parent.iterdir()}
    assert {"README.md", "labels.txt", "golden.png", output.name} < written
    said = keras_mixer.tflite.read_metadata(output)
    assert (said.name, said.author, said.license) == ("Digits", "A. B.", "MIT")
    assert said.labels[3] == "number 3"

    done = here("predict", output, folder / "digit.png", cwd=tmp_path)
    assert done.stdout.count("number ") == 5  # from the file itself

    data = folder / "held_out.npz"
    done = here("verify", folder / "model.keras", output, "--data", data, cwd=tmp_path)
    assert "599 images" in done.stdout
    assert "accuracy 9" in done.stdout
    assert done.stderr == ""


def test_an_empty_argument_is_refused(here, tmp_path):
    for arguments in (("export", "MixerTi4", "--output", ""), ("serve", ""), ("predict", "x", "")):
        done = here(*arguments, cwd=tmp_path, check=False)
        assert done.returncode == 1
        assert done.stderr.startswith("Error: An argument is empty, perhaps from a shell variable")
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_a_command_in_float16_says_nothing_when_it_ends(command, tmp_path):
    case = CASES[0]
    model = case.trained()
    model.save(tmp_path / "tiny.keras")
    (tmp_path / "tiny.tflite").write_bytes(keras_mixer.tflite.convert(model, "float16"))
    np.save(tmp_path / "images.npy", case.images(2))
    arguments = "verify", "tiny.keras", "tiny.tflite", "--data", "images.npy"
    done = command(*arguments, cwd=tmp_path)
    assert "agreement with Keras 100.00%" in done.stdout
    assert done.stderr == ""


@pytest.mark.slow
def test_export_by_name_writes_beside_where_it_is_run(command, tmp_path):
    done = command("export", "MixerS32", "--recipe", "dynamic_int8", cwd=tmp_path)
    assert done.stderr.startswith("Warning: MixerS32 has random weights")
    file = tmp_path / "MixerS32_tflite" / "model_dynamic_int8.tflite"
    assert 18e6 < file.stat().st_size < 21e6  # 19.1 million weights of a byte
    assert len(keras_mixer.tflite.Classifier(file)(Image.new("RGB", (300, 200)))) == 5


@pytest.mark.filterwarnings("ignore:Classifier. the last layer:UserWarning")
def test_a_model_by_name_without_weights_says_first_that_its_scores_mean_nothing(here, tmp_path):
    Image.new("RGB", (40, 40)).save(tmp_path / "x.png")
    said = "Warning: MixerTi4 has random weights: good for timing, and its scores mean nothing. "
    done = here("predict", "MixerTi4", "x.png", cwd=tmp_path)
    assert done.stderr.startswith(f"{said}Trained ones come with --weights cifar10 or --weights FI")
    assert done.stderr.count("\n") == 1
    np.save(tmp_path / "x.npy", np.zeros((2, 32, 32, 3), np.float32))
    arguments = "verify", "MixerTi4", "x.tflite", "--data", "x.npy"
    assert here(*arguments, cwd=tmp_path, check=False).stderr.startswith(said)
    assert here("predict", "MixerTi4", "x.png", "--weights", "cifar10", cwd=tmp_path).stderr == ""


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_console_that_cannot_show_a_name_shows_its_numbers(encoding, tmp_path, monkeypatch):
    """One place prepares the console for all commands; rich draws its tables in ASCII there."""
    (tmp_path / "labels.txt").write_text("\n".join(["αβγ", *map(str, range(9))]), "utf-8")
    picture = tmp_path / "\N{SUNFLOWER}.png"
    Image.new("RGB", (40, 40), "red").save(picture)
    file = tmp_path / "out.txt"
    for arguments in (
        ("predict", "MixerTi4", picture, "--weights", "cifar10", "--top", 10),
        ("models",),
        ("recipes",),
        ("doctor",),
        ("predict", "--help"),
    ):
        given = ["--labels", tmp_path / "labels.txt"] if arguments[1:2] == ("MixerTi4",) else []
        with file.open("w", encoding=encoding) as stdout:
            monkeypatch.setattr("sys.stdout", stdout)
            monkeypatch.setattr("sys.argv", ["keras-mixer", *map(str, (*arguments, *given))])
            with pytest.raises(SystemExit) as exit_:
                main()
            monkeypatch.undo()
        assert exit_.value.code == 0 or arguments == ("doctor",), arguments
        text = file.read_text(encoding)
        assert len(text) > 100
        if given:
            assert "\\u03b1\\u03b2\\u03b3" in text
            assert "\\U0001f33b.png" in text


def test_help_hides_no_words_in_brackets(here, tmp_path):
    """Which rich takes for a style."""
    assert 'Needs the extra "preflight", and' in " ".join(
        here("preflight", "--help", cwd=tmp_path).stdout.replace("│", "").split()
    )
    for file in (ROOT / "keras_mixer/cli").glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.FunctionDef):
                assert "[" not in (ast.get_docstring(node) or "") or node.name.startswith("_")


def test_predict_shows_the_best_classes(here, quickstarted, held_out, tmp_path):
    folder = quickstarted / "quickstart"
    digit = held_out[1][0]
    names = tmp_path / "names.txt"
    names.write_text("\n".join(f"number {i}" for i in range(10)))
    arguments = [folder / "model_int8.tflite", folder / "digit.png", "--labels", names, "--top", 2]
    done = here("predict", *arguments, cwd=tmp_path)
    rows = [line for line in done.stdout.splitlines() if "number" in line]
    assert len(rows) == 2
    assert f"number {digit} " in rows[0]
    assert done.stderr == ""


@pytest.mark.slow
def test_sensitivity_tells_which_layer_to_keep_and_export_keeps_it(here, tmp_path):
    case = CASES[0].but(depth=1)
    case.trained().save(tmp_path / "model.keras")
    some = tmp_path / "some.npy"
    np.save(some, case.images(16))
    arguments = ["model.keras", "--recipe", "static_int8", "--calibration", some]
    done = here("sensitivity", *arguments, "--data", some, "--count", 4, cwd=tmp_path)
    rows = [line.split() for line in done.stdout.splitlines() if "%" in line]
    errors = [float(error.rstrip("%")) for _, error, _ in rows]
    assert len(rows) == 4 + 2  # every product: four a block, the stem and the head
    assert errors == sorted(errors, reverse=True)
    assert done.stderr == ""

    arguments += ["--output", tmp_path]
    here("export", *arguments, cwd=tmp_path)
    file = tmp_path / "model_static_int8.tflite"
    size = file.stat().st_size
    kept = [part for layer, *_ in rows[:2] for part in ("--keep-float", layer)]
    here("export", *arguments, *kept, "--overwrite", cwd=tmp_path)
    assert file.stat().st_size > size
    done = here("verify", "model.keras", file, "--data", some, "--layers", cwd=tmp_path)
    assert "block_0/token_mlp/expand" in done.stdout
    assert "error above 10%" in done.stdout


@pytest.mark.slow
def test_benchmark_shows_the_share_of_peak_throughput(here, quickstarted):
    folder = quickstarted / "quickstart"
    done = here("benchmark", "model_int8.tflite", "--runs", 5, "--threads", 1, cwd=folder)
    assert "ms an image" in done.stdout
    assert "of this machine's peak throughput" in done.stdout
    assert "10 RSQRT" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--recipe", "static_int8"], "needs calibration= (--calibration)"),
        (["--recipe", "int8", "--calibration", "digit.png"], "is neither a readable .npy"),
        (["--recipe", "float16", "--keep-float", "blok"], "no layer is called 'blok'"),
        (
            ["--recipe", "float16", "--labels", "report.json"],
            "one label for each of 10 classes; got",
        ),
    ],
)
def test_a_wrong_export_is_one_line_and_writes_nothing(
    here, quickstarted, tmp_path, arguments, message
):
    folder, output = quickstarted / "quickstart", tmp_path / "app"
    arguments = ["model.keras", *arguments, "--output", output]
    done = here("export", *arguments, cwd=folder, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not output.exists()


def test_inspect_shows_any_file_and_as_json(here, quickstarted):
    folder = quickstarted / "quickstart"
    done = here("inspect", "model_float32.tflite", cwd=folder)
    assert done.stdout.startswith("model_float32.tflite: ")
    assert "XNNPACK runs all" in done.stdout
    assert "FULLY_CONNECTED" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert done.stderr == ""
    found = json.loads(here("inspect", "model_int8.tflite", "--json", cwd=folder).stdout)
    assert found["inputs"][0]["shape"] == [1, 8, 8, 1]
    assert found["outside"]["RSQRT"] == 10


def test_verify_reads_a_folder_of_one_folder_a_class(here, quickstarted, held_out, tmp_path):
    images, labels = held_out
    for i in range(100):
        path = tmp_path / "digits" / str(labels[i]) / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.round((images[i, ..., 0] + 1) * 127.5).astype(np.uint8)).save(path)
    assert len(list((tmp_path / "digits").iterdir())) == 10
    folder = quickstarted / "quickstart"
    files = [folder / "model.keras", folder / "model_float32.tflite"]
    done = here("verify", *files, "--data", tmp_path / "digits", cwd=tmp_path)
    assert "100 images" in done.stdout
    assert "accuracy" in done.stdout


def test_predict_names_a_picture_that_it_cannot_read_and_goes_on(here, quickstarted, tmp_path):
    folder = quickstarted / "quickstart"
    (tmp_path / "cut.png").write_bytes((folder / "digit.png").read_bytes()[:80])
    alone = here("predict", folder / "model_int8.tflite", folder / "digit.png", cwd=tmp_path)
    pictures = ["cut.png", folder / "digit.png", "nowhere.png"]
    done = here("predict", folder / "model_int8.tflite", *pictures, cwd=tmp_path, check=False)
    assert done.stdout == alone.stdout
    assert done.returncode == 1
    first, second, last = done.stderr.splitlines()
    assert "'cut.png' is not a picture that can be read" in first
    assert "no picture at 'nowhere.png'" in second
    assert last == "Error: 2 of 3 pictures have no answer, see above."


def test_a_run_is_exported_from_within_to_a_folder_in_sight_and_with_its_own_names(here, tmp_path):
    run = tmp_path / "pets"
    run.mkdir()
    CASES[0].tiny(depth=1).save(run / "best.keras")
    (run / "labels.txt").write_text("\n".join("abcdefg"))
    (run / "other.txt").write_text("\n".join("bacdefg"))
    measured = ["evaluate", ".", "--dataset", "x"], ["verify", ".", "x.tflite", "--data", "x"]
    for command in (["export", "."], ["predict", ".", "x.jpg"], *measured):
        done = here(*command, "--labels", "other.txt", cwd=run, check=False)
        assert ": the labels are the model's own names in another order" in done.stderr
        assert done.stderr.count("\n") == 1
    here("export", ".", cwd=run)
    assert {path.name for path in run.iterdir() if path.is_dir()} == {"pets_tflite"}
    assert here("show-weights", ".", "--blocks", "0", cwd=run).stdout == "pets_weights.png\n"
    assert (run / "pets_weights.png").is_file()
    assert (run / "pets_tflite/labels.txt").read_text().split() == [*"abcdefg"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("quickstart --output .", "model.keras exists already; pass --overwrite"),
        ("export model.keras --recipe int9", "'int9' is not one of"),
        ("export model.keras --recipe int8 --output x", "'int8' needs calibration"),
        ("export nowhere.keras --output x", "no Keras model at 'nowhere.keras'"),
        ("export model.keras --recipe int8 --output .", "model_int8.tflite exists already"),
        (
            "export model.keras --labels nowhere.txt --output x",
            "no file of labels at 'nowhere.txt'",
        ),
        (
            "export model.keras --labels three.txt --output x",
            "one label for each of 10 classes; got 3",
        ),
        ("export model.keras --input-range 1 1 --output x", "two different numbers"),
        ("export model.keras --output digit.png", "digit.png is a file. Choose another folder"),
        ("verify model.keras model_int8.tflite --data three.txt", "three.txt is neither a read"),
        ("inspect nowhere.tflite", "no .tflite file at 'nowhere.tflite'"),
        ("inspect digit.png", "digit.png is not a .tflite file"),
        ("inspect cut.tflite", "cut.tflite does not load; it may be cut short"),
        ("export MixerB61 --output x", "Did you mean 'MixerB16'?"),
        ("export model_int8.tflite --output x", "no model called 'model_int8.tflite'"),
        ("export digit.keras --output x", "digit.keras does not load as a Keras model"),
        ("export cut.keras --output x", "cut.keras does not load as a Keras model"),
        ("export lambda.keras --output x", "lambda.keras does not load as a Keras model"),
        ("export model.keras --weights x.weights.h5 --output x", "weights of its own"),
        (
            "export model.keras --recipe int8 --calibration nan.npy --output x",
            "1 of 2 contain NaN",
        ),
        (
            "export model.keras --recipe int8 --calibration digit.png --output x",
            "digit.png is neither a readable .npy or .npz nor a folder",
        ),
        ("verify model.keras model_int8.tflite --data nowhere.npz", "'nowhere.npz'"),
        ("verify model.keras digit.png --data held_out.npz", "digit.png is not a .tflite file"),
        (
            "verify model_int8.tflite model.keras --data held_out.npz",
            "the Keras model first and its .tflite file second: keras-mixer verify model.keras",
        ),
        (
            "verify model.keras model_int8.tflite --data held_out.npz --task binary",
            "needs a model with one score; this one has 10",
        ),
        ("predict model_int8.tflite digit.png --threads 100000000000000000000", "--threads"),
        ("predict model_int8.tflite digit.png --threads 0", "--threads"),
        ("predict cut.tflite digit.png", "cut.tflite does not load"),
        ("predict model_int8.tflite report.json", "'report.json' is not a picture"),
        ("predict model_int8.tflite nowhere.png", "no picture at 'nowhere.png'"),
        (
            "predict model.keras digit.png --weights imagenet1k",
            "has weights of its own; pass weights (--weights) only with a model's name.",
        ),
        (
            "predict two.keras digit.png --input-range 0 1",
            "Classifier needs a model with one input and one output; 'two' has 1 and 2.",
        ),
        ("predict map.keras digit.png --input-range 0 1", "'map' gives (None, 8, 8, 1)."),
        (
            "predict model_int8.tflite digit.png --weights imagenet1k",
            "has weights of its own; --weights goes with a model's name",
        ),
        ("export two.keras --output x --input-range 0 1", "'two' has 1 and 2"),
        ("show-weights model.keras --output digit.png/x.png", "digit.png is a file"),
        (
            "show-weights model.keras --output . --overwrite",
            ". is a folder; give the path",
        ),
        ("evaluate model.keras --dataset x --confusion digit.png/x.csv", "digit.png is a file"),
        ("evaluate model.keras", "evaluate needs --dataset."),
        ("train --recipe small_images --output x", "either --dataset or --task; got neither"),
        (
            "train --recipe small_images --output x --task cifar10 --validation 0.2",
            "no --split, --held-out or --validation with --task",
        ),
        (
            "evaluate runs/nothing --dataset x",
            "no model called 'runs/nothing', and no run's",
        ),
        ("models Mixer*9", "No model's name matches 'Mixer*9'"),
        ("models Hire", "No model's name matches 'Hire'. '*Hire*' matches HireMlpTiny"),
    ],
)
def test_a_mistake_is_one_clear_line_and_changes_nothing(
    line, message, mistakes, monkeypatch, capfd
):
    before = {p.name: p.read_bytes() for p in mistakes.iterdir()}
    monkeypatch.chdir(mistakes)
    monkeypatch.setattr("sys.argv", ["keras-mixer", *line.split()])
    with pytest.raises(SystemExit) as exit_:
        main()
    assert exit_.value.code in (1, 2)
    assert message in " ".join(capfd.readouterr().err.split())
    assert {p.name: p.read_bytes() for p in mistakes.iterdir()} == before


@pytest.mark.slow
def test_a_mistake_shows_no_traceback_in_a_shell(command, mistakes):
    arguments = ["predict", "cut.tflite", "digit.png"]
    done = command(*arguments, cwd=mistakes, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: cut.tflite does not load")
    assert done.stderr.count("\n") == 1


@keras.saving.register_keras_serializable("tests")
class FailsOnImages(keras.layers.Layer):
    """Can be built and saved; on images it calls Keras with an argument that Keras refuses."""

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)

    def call(self, x):
        return keras.layers.Dense(0)(x)


def test_an_error_from_within_keras_is_a_bug_with_its_traceback(here, mistakes, tmp_path):
    image = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(FailsOnImages()(image))
    scores = keras.layers.Dense(10, "softmax")(pooled)
    keras.Model(image, scores).save(tmp_path / "fails.keras")
    arguments = ["fails.keras", mistakes / "digit.png", "--input-range", 0, 1]
    done = here("predict", *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 1
    first, second, *_ = done.stderr.strip().splitlines()
    assert first.startswith("Error: This looks like a bug of keras-mixer; please report it with ")
    assert f"(keras-mixer {keras_mixer.__version__}, keras {keras.__version__}, " in first
    assert second.startswith("Traceback (most recent call last)")
    assert "ValueError: " in done.stderr
    assert "Received an invalid value for `units`" in done.stderr


def test_debug_shows_the_traceback_of_a_mistake_too(here, mistakes):
    done = here("--debug", "predict", "cut.tflite", "digit.png", cwd=mistakes, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("Traceback (most recent call last)")
    assert done.stderr.splitlines()[-1].startswith("Error: cut.tflite does not load")
    assert "bug of" not in done.stderr
    assert here("predict", "cut.tflite", "x", cwd=mistakes, check=False).stderr.count("\n") == 1


def two_outputs():
    image = keras.Input((8, 8, 1))
    return keras.Model(image, [image, image])


@pytest.mark.parametrize(
    ("fail", "mistake"),
    [
        (lambda: keras_mixer.models.builder("MixerB61"), True),  # raised by us
        (lambda: keras_mixer.load_model(__file__ + ".keras"), True),  # a file that is not there
        (lambda: keras_mixer.load_model("cut.keras"), True),  # raised by us from another error
        (lambda: open("nowhere"), True),  # noqa: PTH123, SIM115
        (lambda: __import__("no_such_package"), True),
        (lambda: keras_mixer.imagenet.classes(7), False),  # a KeyError
        (
            lambda: keras_mixer.layers.Mlp(4, kernel_initializer="no").build((1, 4)),
            False,
        ),  # a ValueError of Keras
        # A ValueError in a line of ours, but not from a `raise`.
        (lambda: predict(two_outputs(), np.zeros((1, 8, 8, 1))), False),
    ],
)
def test_only_what_this_package_raises_counts_as_a_mistake(fail, mistake, mistakes, monkeypatch):
    monkeypatch.chdir(mistakes)
    with pytest.raises(Exception) as caught:  # noqa: PT011
        fail()
    assert is_mistake(caught.value) == mistake


def behind_another():
    try:
        raise OSError(errno.ENOSPC, "No space left on device", "last.keras")
    except OSError as error:
        raise RuntimeError("cannot write") from error


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (tf.errors.ResourceExhaustedError(None, None, "OOM when allocating"), "not enough memory"),
        (MemoryError(), "not enough memory. Use a smaller batch: --batch-size"),
        (RuntimeError("RESOURCE_EXHAUSTED: Out of memory"), "not enough memory (RESOURCE_EXHAU"),
        (OSError(errno.ENOSPC, "No space left on device", "a.npz"), "disk is full, at a.npz. Free"),
        (
            tf.errors.ResourceExhaustedError(None, None, "state; No space left on device"),
            "The disk is full.",
        ),
        (behind_another, "The disk is full, at last.keras"),
        (tf.errors.OutOfRangeError(None, None, "model.pb; File too large"), "(ulimit -f)"),
        (ValueError("Unable to import backend : foo"), "foo. Keras has none of that name"),
    ],
)
def test_a_machine_that_is_too_small_is_one_line_with_the_cure(error, message, monkeypatch, capsys):
    def fail(**arguments):
        if callable(error):
            error()
        raise error

    monkeypatch.setattr("keras_mixer.cli.app", fail)
    with pytest.raises(SystemExit):
        main()
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1


@pytest.mark.slow
def test_the_package_runs_as_the_command(mistakes):
    arguments = [sys.executable, "-m", "keras_mixer.cli", "export", "--recipe", "int9"]
    done = subprocess.run(arguments, cwd=mistakes, capture_output=True, text=True)
    assert done.returncode == 2
    assert "int9" in done.stderr


@pytest.mark.slow
def test_quickstart_on_another_backend_says_so_before_it_trains(command, tmp_path):
    done = command("quickstart", cwd=tmp_path, check=False, KERAS_BACKEND="jax")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: quickstart needs Keras on the TensorFlow backend")
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def mistakes(quickstarted, tmp_path_factory):
    """The files of a quickstart, beside some that are not what their names say."""
    folder = tmp_path_factory.mktemp("mistakes")
    for file in (quickstarted / "quickstart").iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "cut.tflite").write_bytes((folder / "model_int8.tflite").read_bytes()[:20_000])
    (folder / "digit.keras").write_bytes((folder / "digit.png").read_bytes())
    (folder / "cut.keras").write_bytes((folder / "model.keras").read_bytes()[:50_000])
    image = keras.Input((8, 8, 1))
    code = keras.layers.Lambda(lambda x: x)  # a model file that would run code
    keras.Model(image, code(image)).save(folder / "lambda.keras")
    scores = keras.layers.Flatten()(keras.layers.AveragePooling2D((1, 8))(image))
    keras.Model(image, [scores, -scores], name="two").save(folder / "two.keras")
    keras.Model(image, -image, name="map").save(folder / "map.keras")
    (folder / "three.txt").write_text("a\nb\nc\n")
    nan = np.zeros((2, 8, 8, 1), np.float32)
    nan[1, 0, 0] = np.nan
    np.save(folder / "nan.npy", nan)
    return folder


def test_show_weights_draws_a_picture(here, quickstarted, tmp_path):
    done = here(
        "show-weights",
        quickstarted / "quickstart" / "model.keras",
        "--blocks",
        "1",
        "--output",
        "weights.png",
        cwd=tmp_path,
    )
    assert done.stdout == "weights.png\n"
    assert done.stderr == ""
    with Image.open(tmp_path / "weights.png") as picture:
        assert np.asarray(picture.convert("RGB")).std() > 20


def test_a_release_is_fetched_in_sight(here, bucket, tmp_path, monkeypatch):
    """The command as it is, but for the address of the release."""
    np.savez(tmp_path / "S32.npz", **checkpoint(keras_mixer.MixerS32.sizes))
    bucket.content = (tmp_path / "S32.npz").read_bytes()
    monkeypatch.setitem(keras_mixer.MixerS32.releases, "gsam", bucket.release)
    arguments = ["MixerS32", "--weights", "gsam", "--output", "weights.png"]
    done = here("show-weights", *arguments, cwd=tmp_path)
    assert "Some-Model.npz: 100%" in done.stderr
    assert (tmp_path / "weights.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["MixerS16", "--weights", "imagenet1k"], "MixerS16 was released as gsam"),
        (["MixerS16", "--weights", "missing.npz"], "no weights file at 'missing.npz'"),
        (["MixerS16", "--blocks", "0,x"], "--blocks takes numbers like 0,1,2; got '0,x'"),
        (["MixerS16", "--blocks", "9"], "has block_0, block_1"),  # after a warning
    ],
)
def test_show_weights_says_in_one_line_what_is_wrong(here, tmp_path, arguments, message):
    done = here("show-weights", *arguments, cwd=tmp_path, check=False)
    assert done.returncode == 1
    assert message in done.stderr
    errors = [line for line in done.stderr.splitlines() if not line.startswith("Warning: ")]
    assert len(errors) == 1
    assert list(tmp_path.glob("*.png")) == []
