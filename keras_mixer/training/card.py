"""The model card of a run."""

import platform
import shlex
import sys
from pathlib import Path

import keras

from keras_mixer._runs import choice
from keras_mixer.training.results import said, uncertain

CARD = """\
# {name}, trained on {images}

{name} with {params:,} parameters, after {epochs:.4g} epochs ({steps:,} steps) of the recipe
`{recipe}`. {result}

Files: `last.keras`, the final model; `best.keras`, the best model; `labels.txt`, the class names;
`log.csv` and `tensorboard/`, the training log; `results.json`, the results at the end, with
`confusion.csv` and `classes.csv`, which classes of held-out images are taken for which;
`state.safetensors`, from which training resumes. Of this folder {choice}.

    model = keras.saving.load_model("{file}")  # after `import keras_mixer`
    scores = model.predict(keras_mixer.preprocess_input(pixels, model))  # {shape}, from 0 to 255

## Data

- training: {images}
- held out: {held_out}
- test: {test}
- additional augmentation: {augment}

## Recipe

Source: {source}.

{fields}

Seed: {seed}.

## Run

- {seconds:.0f} seconds, evaluation included
- Keras {keras} on {backend}, Python {python}, {system}
{command}"""


def card(model, run, results, image_shape):
    """The text of a run's `README.md`.

    Args:
        model: The model.
        run: The `Run`, with its log.
        results: From `keras_mixer.training.results.results`.
        image_shape: Shape `(H, W, C)` of an image.
    """
    record, last, best = run.record, run.rows[-1], run.best
    recipe = dict(record["recipe"])
    source, name = recipe.pop("source"), recipe.pop("name")
    backend = keras.backend.backend()
    return CARD.format(
        name=model.name,
        params=model.count_params(),
        recipe=name,
        source=source,
        epochs=last["epoch"],
        steps=last["step"],
        result=_result(last, best, results),
        choice=choice(run.rows).said("."),
        file=results["model"],
        images=record["images"],
        held_out=record["held_out"] or "nothing",
        test=record.get("test") or "nothing",
        augment=", ".join(record["augment"]) or "none",
        fields="\n".join(f"- {key}: {value}" for key, value in recipe.items() if value is not None),
        seed=record["seed"],
        seconds=last["seconds"],
        shape=f"[N, {', '.join(map(str, image_shape))}]",
        keras=keras.__version__,
        backend=f"{backend} {sys.modules[backend].__version__}",
        python=platform.python_version(),
        system=platform.platform(terse=True),
        command=_command(),
    )


def _result(last, best, results):
    if "val_accuracy" not in last:
        text = f"The final loss on the training images is {last['loss']:.3f}."
    else:
        final, highest, images = last["val_accuracy"], best["val_accuracy"], last["val_images"]
        text = (
            f"Its final top-1 accuracy on the {int(images):,} held-out images is {final:.2%}"
            f"{uncertain(final, images)}. The best model has {highest:.2%}, which is slightly "
            "optimistic: the model was chosen by these images."
        )
    if results["worst"]:
        text += f" The worst classes: {', '.join(results['worst'])}."
    if "test" in results:
        text += (
            f" On the test images, which had no influence on the training, `{results['model']}` "
            f"reaches: {said(results['test'])}."
        )
    return text


def _command():
    if Path(sys.argv[0]).name != "keras-mixer":
        return ""
    return f"- `keras-mixer {shlex.join(sys.argv[1:])}`\n"
