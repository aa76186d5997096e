"""The page in a real browser: its answers are `Classifier`'s, and it says what it cannot do.

Chromium runs once, by `page.mjs`; each test looks at what it saw.
"""

import json
import re
import shutil
import subprocess
import threading
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import keras
import numpy as np
import pytest
from filelock import FileLock
from PIL import Image

import keras_mixer
from keras_mixer.tflite import RECIPES, Classifier, Metadata, convert, with_metadata
from keras_mixer.tflite.reading import picture
from keras_mixer.tflite.run.runner import Runner
from keras_mixer.web.server import CHECKOUT
from tests.cases import CASES, randomised
from tests.conftest import ROOT
from tests.pictures import every_kind, noise
from tests.tflite.files import tiny_file
from tests.web.browser import LACKING, TOOLS, browse
from tests.web.test_file import altered, of_segmentation

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(LACKING), reason=f"needs {' and '.join(LACKING)}"),
]

# The largest difference of a score between LiteRT.js and LiteRT, for the same input: about three
# times that in benchmarks/results/web.csv; a step of the int8 softmax, 1 / 256, several times.
BOUNDS = {
    "float32": 2e-6,
    "float16": 2e-6,
    "dynamic_int8": 2e-2,
    "static_int8": 2e-2,
    "int8": 2e-2,
    "int16x8": 8e-4,
    "dynamic_int4": 3e-2,
}
LABELS = keras_mixer.MixerTi4.releases["cifar10"].labels
JPEG = 6  # of 255 levels, by which the decoders of Chromium and TensorFlow differ in the image
ROUNDING = 1e-4  # of a level, from scaling pixels for the model and back


def pictures(folder):
    """A PNG, a JPEG that lies on its side, another that does not, and a grey PNG."""
    image = Image.fromarray(noise(300, 400, 3))
    exif = Image.Exif()
    exif[0x112] = 6
    lying = image.transpose(Image.Transpose.ROTATE_90)
    image.save(folder / "colours.png")
    lying.save(folder / "lying.jpg", exif=exif, quality=92)
    image.save(folder / "plain.jpg", quality=92)
    image.convert("L").save(folder / "grey.png")
    return [folder / name for name in ("colours.png", "lying.jpg", "plain.jpg", "grey.png")]


def photograph(folder):
    """A JPEG of more pixels than iOS gives a canvas, 2 ** 24."""
    Image.fromarray(noise(3500, 4900)).save(folder / "photograph.jpg", quality=92)
    return folder / "photograph.jpg"


def other_models(folder):
    """Files of other tasks and shapes, and damaged ones: name -> path."""
    good = with_metadata(tiny_file(), Metadata(input_range=(-1, 1)))
    last = {
        "yes": ("sigmoid", 1, ("cat", "dog")),
        "labels": ("sigmoid", 3, ("red", "round", "big")),
    }
    files = {
        name: with_metadata(
            convert(CASES[0].trained(classes=units, classifier_activation=activation)),
            Metadata(input_range=(-1, 1), labels=labels),
        )
        for name, (activation, units, labels) in last.items()
    }
    grey = keras_mixer.MlpMixer(
        **CASES[0].tiny.keywords | {"input_shape": (16, 32, 1), "include_preprocessing": True}
    )
    files |= {
        "grey": convert(randomised(grey)),
        "logits": good,
        "channels": tiny_file(case=CASES[1]),
        "quantity": convert(quantity()),
        "integers": tiny_file("int8", integer_io=True),
        "text": b"this is no model",
        "empty": b"",
        "cut": good[: len(good) // 2],
        "segmentation": altered(tiny_file(), of_segmentation),
        "unknown_op": altered(tiny_file(), with_unknown_op),
    }
    for name, content in files.items():
        (folder / f"{name}.tflite").write_bytes(content)
    return {name: folder / f"{name}.tflite" for name in files}


def quantity():
    """A model of one number."""
    image = keras.Input((16, 32, 3))
    scaled = keras.layers.Rescaling(1 / 255)(image)
    return keras.Model(image, keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(scaled)))


def with_unknown_op(model, main):
    code = model.operatorCodes[main.operators[0].opcodeIndex]
    code.builtinCode, code.deprecatedBuiltinCode = 32, 32
    code.customCode = b"Nobody_knows"


@pytest.fixture(scope="module")
def files(exported, tmp_path_factory, worker_id):
    """Folders of models, pictures and other files, and what Chromium saw, shared by all workers."""
    shared = tmp_path_factory.getbasetemp()
    if worker_id != "master":
        shared = shared.parent
    folder = shared / "page"
    with FileLock(shared / "page.lock"):
        if not (folder / "found.json").exists():
            shutil.copytree(exported, folder / "app")
            for name in ("kinds", "models"):
                (folder / name).mkdir()
            plan = {
                "pictures": [*map(str, pictures(folder))],
                "kinds": [*map(str, write_kinds(folder / "kinds"))],
                "models": [*map(str, other_models(folder / "models").values())],
            }
            plan["folders"] = {"without": str(folder / "kinds"), "with": str(folder / "app")}
            plan["photograph"] = str(photograph(folder))
            plan["siteFolder"] = str(folder / "site")
            with static_site(folder) as plan["site"]:
                browse(folder / "app", plan, folder)
    return folder


@contextmanager
def static_site(folder):
    """A site made as the page's README says, on any server of static files; gives its address."""
    [block] = re.findall(
        r"^```shell\n(.*?)^```$", (CHECKOUT / "README.md").read_text(), re.M | re.S
    )
    npm = next(line for line in block.splitlines() if line.startswith("npm install"))
    copied = f"mkdir site/litert && cp -r {TOOLS / '@litertjs'}/* site/litert"
    (folder / "tflite").symlink_to(ROOT / "tflite")
    lines = "set -e\n" + block.replace(npm, copied)
    subprocess.run(["bash", "-c", lines], cwd=folder, check=True)
    handler = partial(SilentHandler, directory=folder / "site")
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class SilentHandler(SimpleHTTPRequestHandler):
    def end_headers(self):
        self.send_header("Access-Control-Allow-Origin", "*")  # any page may ask
        super().end_headers()

    def log_message(self, *_):
        pass


def write_kinds(folder):
    for i, kind in enumerate(every_kind().values()):
        path = folder / f"{i}.picture"
        path.write_bytes(kind.content)
        yield path


@pytest.fixture(scope="module")
def seen(files):
    return json.loads((files / "found.json").read_text())


def scores_of(classifier, source):
    predictions = classifier(source, top=len(classifier.labels))
    return np.array([p.score for p in sorted(predictions, key=lambda p: p.index)])


def levels(classifier, shown, source):
    """The largest difference between the image that the page shows and the package's, of 255."""
    pixels = classifier.preprocessing.pixels(classifier._image(source))
    assert tuple(shown["size"]) == pixels.shape
    return np.abs(np.reshape(shown["image"], pixels.shape) - pixels).max()


@pytest.mark.parametrize("recipe", RECIPES)
def test_scores_are_those_of_the_classifier(recipe, files, seen):
    classifier = Classifier(files / "app" / f"model_{recipe}.tflite")
    assert recipe in seen["menu"]
    assert {*seen["recipes"][recipe]} == {"colours.png", "lying.jpg", "plain.jpg", "grey.png"}
    for name, shown in seen["recipes"][recipe].items():
        path = files / name
        if name.endswith(".png"):
            assert np.array_equal(np.float32(shown["values"]), classifier._image(path).ravel())
        assert levels(classifier, shown, path) <= (ROUNDING if name.endswith(".png") else JPEG)
        [scores] = shown["outputs"]
        same = np.reshape(np.float32(shown["values"]), classifier.runner.shape)
        assert np.abs(scores - scores_of(classifier, same)).max() <= BOUNDS[recipe]
        best = classifier(path)[0]
        assert shown["text"].startswith(f"{best.label}, ")
        assert "32 x 32 pixels" in shown["text"]
        assert shown["ms"] > 0


def test_the_page_asks_its_own_server_alone_and_has_threads(seen):
    assert seen["outside"] == []
    assert seen["pageErrors"] == []
    assert seen["isolated"]
    assert seen["opened"][0] == {"kind": "opened", "detail": "model_dynamic_int8.tflite"}


def test_pictures_of_every_kind_are_the_package_s_or_refused(files, seen):
    classifier = Classifier(files / "app" / "model_float32.tflite")
    transparent = {"gif, one clear", "webp, alpha"}
    for i, (name, kind) in enumerate(every_kind().items()):
        shown = seen["kinds"][f"{i}.picture"]
        if kind.pixels is None or name.startswith("tiff") or name in transparent:
            assert shown["kind"] == "failed", name
            assert shown["detail"].startswith(f"{i}.picture is not a picture that can be read: ")
            words = "transparent" if name in transparent else "TIFF" * name.startswith("tiff")
            assert words in shown["detail"], name
        else:
            assert shown["kind"] == "shown", (name, shown)
            within = JPEG if name.startswith(("jpeg", "mpo")) else kind.within * (name[:3] == "bmp")
            assert levels(classifier, shown, kind.content) <= within + ROUNDING, name


def test_pictures_may_be_pasted_or_chosen(seen):
    dropped = seen["recipes"]["float32"]["colours.png"]
    for way in ("pasted", "chosen"):
        assert seen[way]["outputs"] == dropped["outputs"]


def test_a_folder_may_be_dropped_and_the_recipe_stays(seen):
    assert seen["folder"] == {"kind": "opened", "detail": "model_float32.tflite"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("yes", r"(cat|dog), \d\d\.\d %\s+\w+\n\d\d\.\d %\n\w+\n\d\d\.\d %\n"),
        ("labels", r"(?s)red\n.*they do not add up to 100 %"),
        ("logits", r"(?s)class \d, .*These scores are no probabilities"),
        ("grey", r"class \d, \d\d\.\d %"),
        ("channels", "class"),
        ("quantity", r"(?s)value, .*One number that is no probability"),
    ],
)
def test_other_models_are_shown_as_what_they_are(name, text, files, seen):
    shown = seen["models"][f"{name}.tflite"]
    assert re.search(text, shown["text"])
    model = Runner((files / "models" / f"{name}.tflite").read_bytes())
    ours = picture(files / "colours.png", model.preprocessing, model.shape[-1])
    assert np.array_equal(np.float32(shown["values"]), ours.ravel())
    assert np.abs(shown["outputs"][0] - model(ours)).max() < 1e-5


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("integers", "Convert it without integer_io=True"),
        ("text", "is not a .tflite file: bytes 4 to 8 are not TFL3"),
        ("empty", "is not a .tflite file"),
        ("cut", "it is damaged or cut short"),
        ("segmentation", "is a file of another task: it gives [1, 32, 32, 21]"),
        ("unknown_op", "does not run in LiteRT.js: Encountered unresolved custom op: Nobody_knows"),
    ],
)
def test_files_that_do_not_run_are_refused_in_words(name, words, seen):
    failed = seen["models"][f"{name}.tflite"]
    assert failed["kind"] == "failed"
    assert failed["detail"].startswith(f"{name}.tflite ")
    assert words in failed["detail"]
    assert failed["detail"] == failed["alert"]


@pytest.mark.parametrize(
    ("lack", "words"),
    [
        ("denied", "The camera is not allowed"),
        ("noCamera", "No camera was found"),
        ("noWebAssembly", "This browser has no WebAssembly"),
        ("emptyFolder", "The folder kinds has no .tflite file; keras-mixer export"),
        ("noModels", "The folder has no .tflite file; keras-mixer export"),
        ("noRuntime", "LiteRT.js is missing beside this page"),
        ("noWasmFiles", "does not start: its files in litert/core/wasm/ cannot be loaded. Reload"),
        ("noList", "No folder of models is served with this page"),
        ("withoutList", "No folder of models is served with this page"),
    ],
)
def test_what_is_missing_is_said(lack, words, seen):
    assert seen[lack]["kind"] == "failed"
    assert words in seen[lack]["detail"]
    assert seen[lack].get("alert", seen[lack]["detail"]) == seen[lack]["detail"]


def test_an_address_that_ends_in_anything_opens_the_page(seen):
    assert seen["badHash"] == {"kind": "opened", "detail": "model_dynamic_int8.tflite"}


def test_the_camera_s_frames_are_classified(seen):
    assert seen["camera"]["kind"] == "shown"
    assert seen["camera"]["size"] == [32, 32, 3]


@pytest.mark.parametrize(
    ("when", "visible"), [("twice", ["hint"]), ("picture", ["preview"]), ("play", ["hint"])]
)
def test_a_camera_that_is_stopped_while_it_starts_is_off(when, visible, seen):
    state = {"released": True, "button": "Use camera", "visible": visible, "failed": []}
    assert seen["cameraInTime"][when] == state


def test_the_camera_replaces_a_picture_that_is_still_decoded(seen):
    still = {"button": "Stop camera", "visible": ["video"], "failed": []}
    assert seen["cameraInTime"]["still"] == still


def test_one_canvas_serves_all_frames(seen):
    assert seen["cameraInTime"]["canvases"] == 1


def test_a_model_that_failed_is_opened_again_by_the_next_picture(seen):
    again = seen["again"]
    assert "the server does not answer" in again["unloaded"]["detail"]
    assert again["loaded"]["kind"] == "shown"
    assert "model_int8.tflite broke off: " in again["crashed"]["detail"]
    assert again["afterwards"]["kind"] == "shown"
    assert again["afterwards"]["outputs"] == again["loaded"]["outputs"]


def test_failed_models_leave_no_threads(seen):
    assert "does not run in LiteRT.js" in seen["again"]["refused"]["detail"]
    before, after = seen["again"]["threads"]
    assert before == after > 0


def test_a_file_that_changed_after_it_was_opened_can_be_opened_again(seen):
    assert seen["again"]["opened"]["kind"] == "opened"
    assert seen["again"]["value"] == ""  # else the same file would be no change
    assert "has changed or is gone since it was opened" in seen["again"]["changed"]["detail"]


def test_an_open_model_is_not_kept_a_second_time(seen):
    assert seen["again"]["bytes"] == [0]


def test_screen_readers_hear_of_models_and_answers(seen):
    assert seen["again"]["live"] == ["about", "best"]


def test_a_photograph_larger_than_ios_allows_a_canvas_is_classified(files, seen):
    classifier = Classifier(files / "app" / "model_dynamic_int8.tflite")
    path = files / "photograph.jpg"
    assert levels(classifier, seen["photograph"], path) <= JPEG


def test_the_service_worker_keeps_and_asks_what_belongs_to_the_page_alone(seen):
    worker = seen["worker"]
    assert worker["asked"] == [200, 200]
    assert {"/", "/show.js", "/model/files.json"} <= {*worker["kept"]}
    assert "/package.json" not in worker["kept"]
    assert worker["outside"] == "refused"  # by its security policy
    assert worker["broken"] == 200


def test_without_a_list_of_models_the_page_is_kept_too(seen):
    assert seen["withoutList"]["kept"]


def test_a_model_that_was_replaced_is_not_kept(seen):
    assert "this browser has not kept the file" in seen["offline"]["replaced"]["detail"]


def test_without_a_server_the_page_works_with_the_models_that_were_used(seen):
    assert seen["offline"]["opened"]["kind"] == "opened"
    dropped = seen["recipes"]["dynamic_int8"]["colours.png"]
    assert np.allclose(seen["offline"]["answer"]["outputs"], dropped["outputs"], atol=3e-2)
    assert "this browser has not kept the file" in seen["offline"]["other"]["detail"]


def test_a_web_server_of_static_files_serves_it_with_one_thread(seen):
    assert seen["static"]["opened"]["kind"] == "opened"
    assert seen["static"]["about"].endswith(" · 1 CPU thread")
    dropped = seen["recipes"]["dynamic_int8"]["colours.png"]
    assert seen["static"]["answer"]["outputs"] == dropped["outputs"]


def test_it_fits_a_phone_and_can_be_used_by_finger_and_by_name(seen):
    assert seen["phone"] == {"width": 390, "small": 0, "unnamed": 0}
