"""The model card of a folder with `.tflite` files."""

from keras_mixer.tasks import TASKS, Regression
from keras_mixer.tflite.convert.recipes import RECIPES
from keras_mixer.tflite.file.metadata import LABELS

CARD, PICTURE, INPUT = "README.md", "golden.png", "golden_input.bin"
MARK = "<!-- Written by keras-mixer export, and again at each export into this folder. -->"

TEXT = """\
{mark}

# {name}
{about}
{facts}

## Files

| file | MB | needs | what it is for |
|---|--:|---|---|
{rows}

{older}All files have the same input and output, so that an app can exchange one for another.
{labels_line}The files hold the information of this page as LiteRT metadata:
`keras-mixer inspect {file}` shows it. In a browser: `keras-mixer serve FOLDER`.

## Input and output

- Input: one image, float32 `{shape}`{order}. Black is {black:g}, white {white:g}: {formula}.
- Output: float32 `[1, {units}]`, {scores}

{crop}
{measured}
{android}
## Testing the app

{picture_line}`{input}` is {that} scaled for the model, {size} float32 numbers.
`golden_output_<recipe>.bin` holds the {units} scores that `model_<recipe>.tflite` gave for it on
the machine that exported it: float32, little-endian, without a header.

```kotlin
fun floats(context: Context, name: String): FloatArray {{
    val bytes = ByteBuffer.wrap(context.assets.open(name).readBytes())
    val numbers = bytes.order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer()
    return FloatArray(numbers.remaining()).also(numbers::get)
}}
```

With `{file}` {example}. Scores
differ a little on other processors, and more on those that compute in float16. If a score differs
by more than a few hundredths of the largest score, check the range of pixels and the order of
channels and rows.
"""

# Versions in the Android section; a test compares them with those of tflite/android/.
LITERT, PLAY_SERVICES, MIN_SDK = "2.3.0", "17.0.0", 24

ANDROID = """\
## On Android

`tflite/android/` in keras-mixer's repository is an app that does this with LiteRT and the exact
resize. It reads what this page says from the file's metadata. `keras-mixer export` with
`--android FOLDER` puts a file into it, or into another project of Android Studio.

By hand: put a file into `app/src/main/assets/`, and into `app/build.gradle.kts`:

```kotlin
android {{
    defaultConfig {{ minSdk = {min_sdk} }}
    androidResources {{ noCompress += "tflite" }}  // which your own code can then map
}}
dependencies {{
    implementation("com.google.ai.edge.litert:litert:{litert}")
    implementation("com.google.ai.edge.litert:litert-gpu:{litert}")  // only for Accelerator.GPU
}}
```

LiteRT's `CompiledModel` takes and gives arrays. Use the model and its buffers from one thread, and
close them:

```kotlin
val model = CompiledModel.create(
    context.assets, "{file}", CompiledModel.Options(Accelerator.CPU)
)
val inputs = model.createInputBuffers()
val outputs = model.createOutputBuffers()
inputs[0].writeFloat(pixels)  // FloatArray({size}): row by row, channels last
model.run(inputs, outputs)
val scores = outputs[0].readFloat()
(inputs + outputs + model).forEach {{ it.close() }}
```

On the GPU: with `Options(Accelerator.GPU, Accelerator.CPU)` the model runs on the CPU where the GPU
cannot run it, and the app does not learn of it. Ask for the GPU alone:

```kotlin
fun onGpuOrCpu(context: Context): Pair<CompiledModel, String> = try {{
    CompiledModel.create(
        context.assets, "{file}", CompiledModel.Options(Accelerator.GPU)
    ) to "GPU"
}} catch (error: LiteRtException) {{
    CompiledModel.create(
        context.assets, "{file}", CompiledModel.Options(Accelerator.CPU)
    ) to "CPU, because ${{error.message}}"
}}
```

Google Play services have the same API, which keeps LiteRT's library out of the app: depend on
`com.google.android.gms:play-services-litert:{play_services}` instead of the two above, and pass
their environment. `Tasks.await` must not be called on the main thread:

```kotlin
val environment = Tasks.await(LiteRt.initialize(context))
val model = CompiledModel.create(
    context.assets, "{file}", CompiledModel.Options(Accelerator.CPU), environment
)
```
{bitmap}{mediapipe}
Tests compile the Kotlin here against Android's classes, and against the documented signatures of
the other libraries. The classes of the app in `tflite/android/` are tested on a desktop JVM with
LiteRT's library; nothing has run on a phone. The files have been run with LiteRT on the machine
that exported them.
"""

BITMAP = """
From a bitmap of the model's size to the input. `BitmapFactory` does not turn photographs upright:
rotate them by their EXIF orientation before you resize them.

```kotlin
fun pixelsOf(bitmap: Bitmap): FloatArray {{
    val argb = IntArray({area})
    bitmap.getPixels(argb, 0, {width}, 0, 0, {width}, {height})
    return FloatArray({size}) {{
        val pixel = argb[it / 3] shr (16 - 8 * (it % 3)) and 0xff  // red, green, blue
        {formula}
    }}
}}
```
"""

MEDIAPIPE = """
MediaPipe Tasks, `com.google.mediapipe:tasks-vision`, resizes and scales the image and names the
classes as the file's metadata say. `rotationDegrees`, clockwise, comes from `ExifInterface` or
CameraX; a mirrored picture must be turned by a matrix:

```kotlin
val options = ImageClassifier.ImageClassifierOptions.builder()
    .setBaseOptions(BaseOptions.builder().setModelAssetPath("{file}").build())
    .setMaxResults(5)
    .build()
val rotation = ImageProcessingOptions.builder().setRotationDegrees(rotationDegrees).build()
ImageClassifier.createFromOptions(context, options).use {{ classifier ->
    val result = classifier.classify(BitmapImageBuilder(bitmap).build(), rotation)
    for (category in result.classificationResult().classifications()[0].categories()) {{
        println("${{category.categoryName()}}: ${{category.score()}}")
    }}
}}
```
"""


def card(metadata, shape, task, sizes, runtimes, scores, preprocessing, reports=()):
    """The text of a folder's `README.md`.

    Args:
        metadata: The `Metadata` of the newest file.
        shape: Shape of an image, `(H, W, C)`.
        task: The model's `Task`.
        sizes: Name of each `.tflite` file in the folder -> its size in bytes, the newest file last.
        runtimes: Name of each file -> the `Runtimes` that it needs.
        scores: The newest file's scores for the golden input, `[scores]`.
        preprocessing: The newest file's `Preprocessing`.
        reports: Results of `verify` on test images: pairs of the kind of crop, in words, and a
            `Report`.
    """
    height, width, channels = shape
    black, white = metadata.input_range
    *_, file = sizes
    names = metadata.labels
    facts = {
        "Version": metadata.version,
        "Author": metadata.author,
        "Licence": metadata.license or "not given",
        task.noun: task.counted(names, LABELS),
    }
    order = {1: ", grey", 3: ", RGB, channels last"}.get(channels, ", channels last")
    picture = channels in (1, 3)
    return TEXT.format(
        mark=MARK,
        name=metadata.name,
        about=f"\n{metadata.description}\n" if metadata.description else "",
        facts="\n".join(f"- {key}: {value}" for key, value in facts.items() if value),
        rows="\n".join(
            _row(name, sizes[name], runtimes[name]) for name in sorted(sizes, key=_order)
        ),
        older="".join(f"`{name}`: {text}.\n\n" for name in sizes for text in runtimes[name].wrong),
        labels_line=f"Score i belongs to line i of `{LABELS}`. " if names else "",
        file=file,
        shape=f"[1, {height}, {width}, {channels}]",
        order=order,
        black=black,
        white=white,
        formula=_formula(black, white),
        units=task.units,
        scores=task.means(names),
        crop=_crop(preprocessing, width, height),
        measured=_measured(file, reports),
        size=height * width * channels,
        android=_android(file, shape, (black, white), task),
        picture_line=f"`{PICTURE}` is a picture of the model's size, " if picture else "",
        that="the same" if picture else "a picture",
        input=INPUT,
        example=task.example(scores, names),
    )


def _android(file, shape, ends, task):
    height, width, channels = shape
    sizes = {
        "height": height,
        "width": width,
        "area": height * width,
        "size": height * width * channels,
    }
    formula = "pixel.toFloat()" if ends == (0, 255) else _formula(*ends).strip("`")
    return ANDROID.format(
        file=file,
        litert=LITERT,
        play_services=PLAY_SERVICES,
        min_sdk=MIN_SDK,
        size=height * width * channels,
        bitmap=BITMAP.format(formula=formula, **sizes) if channels == 3 else "",
        mediapipe=MEDIAPIPE.format(file=file) if channels == 3 and task.for_mediapipe else "",
    )


def _crop(preprocessing, width, height):
    """How a picture is cropped to the image's size, and how most apps do it instead."""
    antialias = "with" if preprocessing.antialias else "without"
    how = f"{preprocessing.interpolation} interpolation, {antialias} antialiasing"
    how += ", as Pillow does" if preprocessing.library == "pillow" else ""
    size = f"{width} x {height} (width x height)"
    if preprocessing == preprocessing.cut("resize"):
        return (
            f"Resize the whole picture to {size}, bilinearly and without antialiasing; do not crop "
            "it. The model was trained and evaluated in this way. MediaPipe does nearly the same, "
            "shifted by half a pixel of the result."
        )
    larger = preprocessing.enlarged((width, height))
    if preprocessing.crop == "resize":
        trained = f"Resize the whole picture to {size}, {how}."
    elif preprocessing.crop == "resize_crop":
        trained = f"Resize the whole picture to {larger[0]} x {larger[1]}, {how}; then crop the "
        trained += f"centre, {size}."
    else:
        trained = (
            f"Resize the picture, with its proportions kept, until it just covers {larger[0]} "
        )
        trained += f"x {larger[1]} ({how}); then crop the centre, {size}."
    return (
        f"{trained} The model was trained and evaluated in this way.\n\nMediaPipe and most apps "
        f"resize the whole picture to {width} x {height} instead, bilinearly. "
        "`keras-mixer verify --as mediapipe` measures the accuracy with that."
    )


def _measured(file, reports):
    if not reports:
        return ""
    rows = "".join(
        f"| {words} | {report.images:,} | {' | '.join(_rated(report))} |\n"
        for words, report in reports
    )
    heading = " | ".join(TASKS[reports[0][1].task].heading)
    return (
        f"\n## Accuracy\n\n`{file}` and the Keras model on the same test images:\n\n"
        f"| pictures cropped | images | {heading} |\n|---|--:|--:|--:|--:|\n{rows}"
    )


def _rated(report):
    """The cells of a report, in the order of its task's heading."""
    if report.task == Regression.name:
        errors = report.error, report.keras_error, report.max_abs_difference
        return ["" if error is None else f"{error:.4g}" for error in errors]
    return [*map(_share, (report.accuracy, report.keras_accuracy, report.agreement))]


def _share(share):
    return "" if share is None else f"{share:.2%}"


def _row(name, size, runtimes):
    recipe = RECIPES.get(_recipe(name))
    summary = recipe.summary if recipe else ""
    return f"| `{name}` | {size / 1e6:.2f} | {runtimes.names} | {summary} |"


def _recipe(name):
    return name.removeprefix("model_").removesuffix(".tflite")


def _order(name):
    names = list(RECIPES)
    return names.index(_recipe(name)) if _recipe(name) in names else len(names)


def _formula(black, white):
    """The model's input value for a pixel from 0 to 255, as a Kotlin expression."""
    if (black, white) == (0, 255):
        return "the pixel itself"
    if black == 0:
        return f"`pixel / {255 / white:g}f`"
    if black == -white:
        return f"`pixel / {255 / (2 * white):g}f - {white:g}f`"
    return f"`pixel / 255f * {white - black:g}f + {black:g}f`".replace("+ -", "- ")
