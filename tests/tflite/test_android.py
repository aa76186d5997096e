"""`tflite/android`, a sample app: what `export` puts into it, and its classes on a desktop JVM.

The slow test compiles the app's Kotlin against Android's classes and runs it with the library of
LiteRT that Python uses, too. `.ci/tools/android` fetches its tools.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import flatbuffers
import keras
import numpy as np
import pytest
from PIL import Image

from keras_mixer.images import CROPS, Preprocessing
from keras_mixer.layers import ImagePreprocessing
from keras_mixer.tflite import Classifier, convert, export, read_metadata
from keras_mixer.tflite._litert import schema
from keras_mixer.tflite.card import LITERT, MIN_SDK, PLAY_SERVICES
from keras_mixer.tflite.run.runner import Runner
from tests.conftest import ROOT
from tests.tflite.files import tiny_file

SAMPLE = ROOT / "tflite/android"
HERE = Path(__file__).parent / "android"
TOOLS = Path(os.environ.get("KERAS_MIXER_TOOLS", "/nowhere")) / "android"
JARS = [
    Path("/usr/share/java") / f"{name}.jar"
    for name in ("jna", "junit4", "hamcrest", "json-android")
]


# ------------------------------------------------------------------------------- export --android
def small(units=3, activation="softmax", shape=(8, 12, 3), **preprocessing):
    """A model of one dense layer, with weights that are the same each time."""
    keras.utils.set_random_seed(units)
    layers = [keras.layers.Flatten(), keras.layers.Dense(units, activation)]
    return keras.Sequential(
        [keras.Input(shape), ImagePreprocessing(**preprocessing), *layers], name="small"
    )


NOT_KEPT = shutil.ignore_patterns("build", ".gradle", "assets")  # what was built or exported there


@pytest.fixture
def project(tmp_path):
    """A copy of the sample."""
    return shutil.copytree(SAMPLE, tmp_path / "project", ignore=NOT_KEPT)


def files(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("module", ["", "app"])
def test_a_model_goes_into_the_app_and_test_data_into_its_tests(project, tmp_path, module):
    before = files(project)
    path = export(small(), recipe="float16", labels=[*"abc"], android=project / module)
    assets, tests = (project / "app/src" / name / "assets" for name in ("main", "androidTest"))
    assert path == assets / "model_float16.tflite"
    assert read_metadata(path).labels == tuple("abc")
    assert files(project).keys() - before.keys() == {
        "app/src/main/assets/model_float16.tflite",
        *(
            f"app/src/androidTest/assets/golden{end}"
            for end in (".png", "_input.bin", "_output_float16.bin")
        ),
    }
    image = np.fromfile(tests / "golden_input.bin", "<f4").reshape(8, 12, 3)
    scores = np.fromfile(tests / "golden_output_float16.bin", "<f4")
    assert [*Runner(path)(image)] == [*scores]

    both = export(small(), tmp_path / "both", labels=[*"abc"], android=project)
    assert both == tmp_path / "both/model_float32.tflite"
    assert both.read_bytes() == (assets / both.name).read_bytes()
    assert (tmp_path / "both/README.md").exists()


def test_an_app_has_files_of_one_model_and_keeps_them(project):
    export(small(), labels=[*"abc"], android=project)
    before = files(project)
    refused = [
        (small(), {"labels": [*"abc"]}, r"model_float32\.tflite exists already; pass --overwrite"),
        (
            small(),
            {"labels": [*"abd"], "recipe": "float16"},
            r"has other classes\. .*; remove model_float32.tflite, golden_input.bin and golden_o",
        ),
        (small(shape=(9, 9, 3)), {"labels": [*"abc"], "recipe": "float16"}, "with other images"),
    ]
    both = project / "app/src/main/assets"
    with pytest.raises(ValueError, match=r"into .*assets by android= \(--android\) already"):
        export(small(), both, "float16", labels=[*"abc"], android=project)
    for model, arguments, message in refused:
        with pytest.raises(FileExistsError, match=message):
            export(model, android=project, **arguments)
        assert files(project) == before
    export(small(4), labels=[*"abcd"], android=project, overwrite=True)
    path = project / "app/src/main/assets/model_float32.tflite"
    assert read_metadata(path).labels == tuple("abcd")


def test_a_disk_that_fills_up_leaves_the_app_as_it_was(project, tmp_path, monkeypatch):
    before, write = files(project), Path.write_bytes

    def full(path, data):
        if path.name.startswith("golden_output"):
            raise OSError(28, "No space left on device")
        return write(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left"):
        export(small(), tmp_path / "out", android=project)
    assert files(project) == before
    assert files(tmp_path / "out") == {}


def test_a_folder_that_is_no_android_project_is_refused(tmp_path, here):
    (tmp_path / "app").mkdir()
    (tmp_path / "app/build.gradle").write_text("")
    for arguments in ((), ("--output", "out")):
        done = here(
            *("export", "MixerTi4", "--weights", "cifar10", "--android", ".", *arguments),
            cwd=tmp_path,
            check=False,
        )
        assert done.returncode == 1
        assert ". is not a project of Android Studio: neither it nor its folder app" in done.stderr
        assert done.stderr.count("\n") == 1
    assert sorted(files(tmp_path)) == ["app/build.gradle"]
    with pytest.raises(ValueError, match="needs a folder to write to, an Android project"):
        export(small())


def test_the_command_says_where_everything_is(project, here):
    model = project / "small.keras"
    small().save(model)
    done = here("export", model.name, "--android", ".", cwd=project)
    said = done.stdout.replace("\n", " ")
    assert "app/src/main/assets/model_float32.tflite: " in said
    assert "app/src/androidTest/assets: test data" in said
    assert not (project / "small_tflite").exists()
    done = here(
        "export", model.name, "--android", ".", "--output", "out", "--overwrite", cwd=project
    )
    lines = done.stdout.splitlines()
    assert [line.split(": ")[0] for line in lines[:2]] == [
        "out/model_float32.tflite",
        "app/src/main/assets/model_float32.tflite",
    ]
    assert "The sample runs" not in done.stdout
    done = here(
        "export", model.name, "--recipe", "int8", "--android", "nowhere", cwd=project, check=False
    )
    assert "There is no folder at 'nowhere'." in done.stderr
    (project / "app/src/main/assets/detector.tflite").write_bytes(b"another model of the app's")
    done = here("export", model.name, "--android", ".", "--overwrite", cwd=project)
    assert "The sample runs the first file by name, detector.tflite." in done.stdout


@pytest.mark.slow
def test_the_command_of_the_sample_s_page_runs_as_it_stands(tmp_path, here):
    page = (SAMPLE / "README.md").read_text()
    [line] = re.findall(r"^```\n(keras-mixer .*)\n```$", page, re.M)
    shutil.copytree(SAMPLE, tmp_path / "tflite/android", ignore=NOT_KEPT)
    here(*shlex.split(line)[1:], cwd=tmp_path)
    model = tmp_path / "tflite/android/app/src/main/assets/model_dynamic_int8.tflite"
    assert read_metadata(model).labels[0] == "airplane"


def test_versions_in_the_card_and_on_the_sample_s_page_are_those_of_the_sample():
    page = (SAMPLE / "README.md").read_text()
    for text in (
        f"litert:{LITERT}`",
        f"litert-gpu:{LITERT}`",
        f"play-services-litert:{PLAY_SERVICES}`",
    ):
        assert text in page
    assert f"`minSdk` {MIN_SDK}" in page
    for kotlin in (SAMPLE / "app/src/main/kotlin").rglob("*.kt"):
        assert f"`{kotlin.name}`" in page
    catalogue = tomllib.loads((SAMPLE / "gradle/libs.versions.toml").read_text())
    versions, libraries = catalogue["versions"], catalogue["libraries"]
    assert (versions["litert"], versions["playServicesLitert"]) == (LITERT, PLAY_SERVICES)
    build = (SAMPLE / "app/build.gradle.kts").read_text()
    assert f"minSdk = {MIN_SDK} " in build
    used = {name.replace(".", "-") for name in re.findall(r"\(libs\.([a-z.]+)\)", build)}
    assert used == libraries.keys() | {"plugins-android-application"}
    for entry in (*libraries.values(), *catalogue["plugins"].values()):
        assert entry["version"]["ref"] in versions
    runtime = SAMPLE / "app/src/bundled/kotlin/org/kerasmixer/sample/Runtime.kt"
    assert f'"LiteRT {LITERT}"' in runtime.read_text()


def test_the_photograph_lies_in_a_folder_that_other_apps_may_write_to():
    # FileProvider refuses a file outside of its folders, and fails on one that is its own "folder".
    activity = (SAMPLE / "app/src/main/kotlin/org/kerasmixer/sample/MainActivity.kt").read_text()
    [folder] = re.findall(r'File\(cacheDir, "(\w+)"\)\.apply \{ mkdirs\(\) \}', activity)
    assert re.search(
        r'getUriForFile\([^"]*"\$packageName\.(\w+)", File\(folder, "\w+\.jpg"\)\)', activity
    )
    [paths] = ElementTree.parse(SAMPLE / "app/src/main/res/xml/photographs.xml").getroot()
    assert (paths.tag, paths.get("path")) == ("cache-path", f"{folder}/")


# ------------------------------------------------------------------- the app's classes on a JVM
PILLOW = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos3": Image.LANCZOS}


def random_pixels(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def pictures(folder):
    for name, (height, width) in {"noise": (90, 120), "tiny": (13, 20), "tall": (70, 23)}.items():
        Image.fromarray(random_pixels(height, width, 3)).save(folder / f"{name}.png")


def written(folder, name, cases):
    (folder / name).write_text(json.dumps(cases))


def pixels_of(folder, name, values):
    np.asarray(values, "<f4").tofile(folder / f"{name}.bin")
    return f"{name}.bin"


def crops(folder):
    """Every way to crop and resize, with the pixels that Python's reader gives."""
    from keras_mixer.tflite.reading import picture

    ways = [Preprocessing(mean=0, std=1 / 255)]
    tensorflow = [
        {"interpolation": name, "antialias": antialias}
        for name in ("area", "bicubic", "bilinear", "lanczos3", "lanczos5", "nearest")
        for antialias in (False, True)
        if not (antialias and name in ("area", "nearest"))
    ]
    tensorflow += [{"interpolation": "bilinear_from_corners"}]
    pillow = [{"interpolation": name, "library": "pillow"} for name in (*PILLOW, "nearest")]
    for crop in CROPS:
        for i, way in enumerate((*tensorflow, *pillow)):
            share = (224 / 256, 0.9)[i % 2]
            ways.append(Preprocessing(0, 1 / 255, crop=crop, crop_share=share, **way))
    cases = []
    for i, way in enumerate(ways):
        for name in ("noise", "tiny", "tall"):
            size = [(32, 32), (24, 40), (45, 13)][i % 3]
            channels = 1 if i % 5 == 4 else 3
            way = Preprocessing(**way.as_dict(), size=size)
            values = picture(folder / f"{name}.png", way, channels)
            cases.append(
                {
                    "picture": f"{name}.png",
                    "preprocessing": way.as_dict(),
                    "size": size,
                    "channels": channels,
                    "pixels": pixels_of(folder, f"crop_{i}_{name}", values),
                }
            )
    written(folder, "resize.json", cases)


def pillow(folder):
    cases = []
    for name, kernel in PILLOW.items():
        size = 56, 48
        values = Image.open(folder / "noise.png").resize(size[::-1], kernel)
        way = Preprocessing(interpolation=name, library="pillow").as_dict()
        case = {"picture": "noise.png", "preprocessing": way, "size": size}
        cases.append(case | {"pixels": pixels_of(folder, f"pillow_{name}", values)})
    written(folder, "pillow.json", cases)


def upright(folder):
    """Files of every orientation and byte order, one transparent, and their pixels upright."""
    from keras_mixer.data.pictures import read_picture

    y, x = np.mgrid[:24, :40]
    image = Image.fromarray(np.stack([6 * x, 10 * y, 3 * x + 5 * y], -1).astype(np.uint8))
    cases = []
    for orientation in range(1, 9):
        for kind, options in (
            ("jpg", {"format": "jpeg", "quality": 98, "subsampling": 0}),
            ("png", {}),
            ("webp", {"lossless": True}),
        ):
            exif = Image.Exif()
            exif.endian = "<>"[orientation % 2]
            exif[0x10F], exif[0x112] = "Camera", orientation
            path = folder / f"orientation_{orientation}.{kind}"
            image.save(path, exif=exif, **options)
            values = read_picture(path, 3)
            name = pixels_of(folder, f"upright_{orientation}_{kind}", values)
            case = {"picture": path.name, "orientation": orientation}
            case |= {"height": values.shape[0], "width": values.shape[1]}
            cases.append(case | {"pixels": None if kind == "webp" else name})
    clear = random_pixels(20, 30, 4)
    Image.fromarray(clear).save(folder / "transparent.png")
    case = {"picture": "transparent.png", "orientation": 1, "height": 20, "width": 30}
    cases.append(case | {"pixels": pixels_of(folder, "transparent", clear[..., :3])})
    written(folder, "upright.json", cases)


def models(folder):
    """Models of every task, and Python's answers for a picture."""
    imagenet = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    how = {"crop": "resmall_crop", "library": "pillow"}
    made = {
        "classes": (small(5), {"labels": ["cat", "dog", "é", "a b", "z"]}),
        "by_channel": (small(4, **imagenet, **how), {}),
        "grey": (small(3, shape=(9, 7, 1)), {"labels": [*"abc"]}),
        "scores": (small(3, None), {"labels": [*"abc"]}),
        "labels": (small(4, "sigmoid"), {"labels": [*"abcd"]}),
        "two_names": (small(1, "sigmoid"), {"labels": ["cat", "dog"]}),
        "one_name": (small(1, "sigmoid"), {"labels": ["dog"]}),
        "no_name": (small(1, "sigmoid"), {}),
        "quantities": (small(2, None), {"task": "regression"}),
        "quantity": (small(1, None), {"task": "regression"}),
    }
    kinds = {"by_channel": "classes", "grey": "classes", "no_name": "yes or no"}
    kinds |= {"two_names": "yes or no", "one_name": "yes or no", "quantity": "quantities"}
    cases = []
    for name, (model, arguments) in made.items():
        path = export(model, folder / name, name=name, **arguments)
        runner, picture = Runner(path), folder / "noise.png"
        if kinds.get(name, name) == "quantities":
            from keras_mixer.tflite.reading import picture as read

            image = read(picture, runner.preprocessing, 3)
            scores = {str(i): float(s) for i, s in enumerate(runner(image))}
        else:
            scores = {p.label: p.score for p in Classifier(path)(picture)}
        cases.append(
            {
                "model": path.relative_to(folder).as_posix(),
                "picture": picture.name,
                "kind": kinds.get(name, name),
                "name": name,
                "names": runner.names,
                "activation": (runner.activation or "other").upper(),
                "scores": scores,
            }
        )
    written(folder, "models.json", cases)


def wrong(folder):
    """Files that the app refuses, and as what."""
    maps = keras.Sequential(
        [keras.Input((8, 8, 3)), ImagePreprocessing(), keras.layers.Conv2D(2, 3)]
    )
    contents = {
        "picture": ((folder / "noise.png").read_bytes(), "NOT_TFLITE", ""),
        "empty": (b"", "NOT_TFLITE", ""),
        "task": (convert(maps), "OTHER_TASK", "[1, 6, 6, 2]"),
        "input": (convert(small(shape=(8, 8, 4))), "OTHER_INPUT", "[1, 8, 8, 4]"),
        "range": (by_tensorflow(small(2)), "UNKNOWN_RANGE", ""),
        "integers": (tiny_file("int8", integer_io=True), "NOT_FLOAT", ""),
        "no_graph": (without_graph(), "DAMAGED_MODEL", ""),
    }
    for name, (content, _, _) in contents.items():
        (folder / f"{name}.tflite").write_bytes(content)
    written(
        folder,
        "wrong.json",
        [
            {"file": f"{name}.tflite", "problem": problem, "says": says}
            for name, (_, problem, says) in contents.items()
        ],
    )


def without_graph():
    """A `.tflite` file in which there is no graph."""
    model = schema().ModelT()
    model.version, model.subgraphs = 3, []
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def by_tensorflow(model):
    """A file by TensorFlow's own converter, which says nothing about pixels."""
    import tensorflow as tf

    return tf.lite.TFLiteConverter.from_keras_model(model).convert()


def kotlin_of(*pages):
    """The Kotlin of a model card and other pages, as a file that compiles if it does."""
    blocks = re.findall(r"^```kotlin\n(.*?)^```$", "\n".join(pages), re.M | re.S)
    assert len(blocks) == 7 + 1
    packages = (
        *("android.content.Context", "android.graphics.Bitmap", "com.google.ai.edge.litert.*"),
        *("com.google.android.gms.litert.LiteRt", "com.google.android.gms.tasks.Tasks"),
        "com.google.mediapipe.framework.image.BitmapImageBuilder",
        "com.google.mediapipe.tasks.core.BaseOptions",
        "com.google.mediapipe.tasks.vision.core.ImageProcessingOptions",
        "com.google.mediapipe.tasks.vision.imageclassifier.ImageClassifier",
        *("gradle.android", "gradle.dependencies", "java.nio.ByteBuffer", "java.nio.ByteOrder"),
    )
    code = ["package card", *(f"import {name}" for name in packages)]
    given = "context: Context, bitmap: Bitmap, pixels: FloatArray, rotationDegrees: Int"
    for i, block in enumerate(blocks):
        code.append(block if block.startswith("fun ") else f"fun block{i}({given}) {{\n{block}}}")
    return "\n".join(code)


class Kotlin:
    """Kotlin's compiler, JUnit, and the classes that they need, in a folder of build results."""

    def __init__(self, folder):
        self.folder, self.jars = folder, [*JARS, TOOLS / "kotlin/kotlin-stdlib.jar"]
        self.flags = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]

    def resources(self):
        """Compiles the manifest and resources to the class `R`, as Gradle's plugin does."""
        main, made = SAMPLE / "app/src/main", self.folder / "resources"
        made.mkdir()
        manifest = (main / "AndroidManifest.xml").read_text()
        manifest = manifest.replace("<manifest ", '<manifest package="org.kerasmixer.sample" ')
        manifest = manifest.replace("${applicationId}", "org.kerasmixer.sample")
        (made / "AndroidManifest.xml").write_text(manifest)
        self.run(
            *("aapt", "package", "-f", "-m", "-J", made, "-M", made / "AndroidManifest.xml"),
            *("-S", main / "res", "-I", TOOLS / "android.jar", "--min-sdk-version", str(MIN_SDK)),
        )
        self.run("javac", "-d", self.folder / "classes", *made.rglob("R.java"))

    def compile(self, *jobs):
        """Starts to compile sources to a folder, for each pair of both; returns the process."""
        arguments = []
        for i, (target, sources) in enumerate(jobs):
            path = self.folder / f"arguments{i}"
            classes = [self.folder / "classes", *self.jars, TOOLS / "android.jar"]
            options = ["-no-stdlib", "-no-reflect", "-Werror", "-jvm-target", "17", "-d", target]
            options += ["-language-version", "2.2"]  # that of the Android Gradle plugin
            options += ["-classpath", ":".join(map(str, classes)), *sources]
            path.write_text("\n".join(map(str, options)))
            arguments.append(path)
        classpath = ":".join(map(str, (TOOLS / "kotlin").glob("*.jar")))
        return subprocess.Popen(
            ["java", *self.flags, "-Xmx1g", "-cp", classpath, HERE / "Compile.java", *arguments],
            stderr=subprocess.PIPE,
            text=True,
        )

    def test(self, fixtures, *tests, instead=(), check=True):
        """Runs classes of tests, with classes in the folders `instead` in place of the app's."""
        classpath = [*instead, self.folder / "classes", *self.jars, TOOLS / "android.jar"]
        library = Path(find_spec("ai_edge_litert").submodule_search_locations[0]) / "libLiteRt.so"
        return self.run(
            *("java", *self.flags, "-Xmx256m", "-cp", ":".join(map(str, classpath))),
            *(f"-Dlitert.library={library}", f"-Dfixtures={fixtures}"),
            f"-Dstrings={SAMPLE / 'app/src/main/res/values/strings.xml'}",
            "org.junit.runner.JUnitCore",
            *(f"org.kerasmixer.sample.{name}" for name in tests),
            check=check,
        )

    def run(self, *command, check=True):
        done = subprocess.run(
            [*map(str, command)], capture_output=True, text=True, cwd=self.folder, timeout=300
        )
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done


def missing():
    needed = [TOOLS / "kotlin/kotlin-compiler.jar", TOOLS / "android.jar", *JARS]
    found = [str(path) for path in needed if not path.exists()]
    return found + [name for name in ("java", "javac", "aapt") if not shutil.which(name)]


# Mistakes, each of which must make a test fail: a file, what it has, and what is wrong instead.
MISTAKES = {
    "channels": ("Picture.kt", "pixel shr (16 - 8 * c) and 0xff", "pixel shr 8 * c and 0xff"),
    "size": ("Preparation.kt", "        height = shape[1]\n", "        height = shape[1] + 1\n"),
    "rows": ("Picture.kt", "origin + (height - 1) * down, right, -down", "origin, right, down"),
}


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the tools come from Debian")
@pytest.mark.skipif(bool(missing()), reason=f".ci/tools/android brings {', '.join(missing())}")
def test_the_app_compiles_and_gives_on_a_jvm_what_python_gives(tmp_path, exported):
    kotlin, source = Kotlin(tmp_path), SAMPLE / "app/src"
    (tmp_path / "classes").mkdir()
    kotlin.resources()
    fixtures = tmp_path / "fixtures"
    shutil.copytree(exported, fixtures / "export")
    pages = [fixtures / "export/README.md", SAMPLE / "README.md"]
    (tmp_path / "Card.kt").write_text(kotlin_of(*(page.read_text() for page in pages)))
    everything = [HERE / "desktop", HERE / "stubs", HERE / "tests", tmp_path / "Card.kt"]
    everything += [source / f"{part}/kotlin" for part in ("main", "bundled", "androidTest")]
    jobs = [(tmp_path / "classes", everything), (tmp_path / "play", [source / "play/kotlin"])]
    for name, (file, right, mistaken) in MISTAKES.items():
        code = (source / "main/kotlin/org/kerasmixer/sample" / file).read_text()
        assert code.count(right) == 1
        (tmp_path / f"{name}.kt").write_text(code.replace(right, mistaken))
        jobs += [(tmp_path / name, [tmp_path / f"{name}.kt"])]

    with kotlin.compile(*jobs) as compiler:  # which takes as long as what Python does meanwhile
        for make in (pictures, crops, pillow, upright, models, wrong):
            make(fixtures)
        _, said = compiler.communicate()
    assert compiler.returncode == 0, said

    done = kotlin.test(fixtures, *(path.stem for path in (HERE / "tests").glob("*Test.kt")))
    assert re.search(r"^OK \(\d+ tests\)$", done.stdout, re.M), done.stdout
    for name in MISTAKES:
        done = kotlin.test(fixtures, "PictureTest", instead=[tmp_path / name], check=False)
        assert "FAILURES" in done.stdout, name
