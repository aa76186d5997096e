"""What the model of a finished run reaches, measured once: on held-out and on test images."""

import json
from contextlib import contextmanager

from keras import ops

from keras_mixer._files import whole_file
from keras_mixer._runs import CLASSES, CONFUSION, LAST, RESULTS, choice, interval
from keras_mixer._text import say
from keras_mixer.training.confusion_matrix import MOST_CLASSES
from keras_mixer.training.devices import largest, process, wait_for_all
from keras_mixer.training.evaluation import confusion, evaluate

FEW = 500  # images: with fewer the 95 % interval is several per cent wide


def results(run, model, held_out, test, **how):
    """Measures the model that is used of a run, prints the results and writes them to its folder.

    Writes `results.json`, and with held-out images `confusion.csv` and `classes.csv`. What was
    measured before of the same step and the same test images is not measured again.

    Args:
        run: The `Run`, with its log.
        model: The model for use, with the weights of `last.keras`.
        held_out, test: As in `train`.
        **how: Arguments of `evaluate`.

    Returns:
        A dict: `model`, the file that is used; `worst`, texts on the worst classes; and `test`,
        a dict as `evaluate` gives it, where there are test images.
    """
    file = choice(run.rows).file
    of = {"step": run.step, "model": file, "held_out": bool(held_out)}
    if test:
        of |= {"images": str(test), "fingerprint": run.record["fingerprint"]["test"]}
    found = _kept(run.folder, of) if process()[0] == 0 else None
    if largest(int(process()[0] == 0 and not found))[0]:
        found = {"of": of, "model": file, "worst": []}
        wait_for_all()  # for the file that the first process has written
        with _weights_of(model, None if file == LAST else run.folder / file):
            if held_out and len(held_out.classes) <= MOST_CLASSES:
                counted = confusion(model, held_out, **how)
                found["worst"] = counted.worst()
                if process()[0] == 0:
                    counted.write(run.folder / CONFUSION, overwrite=True)
                    counted.write_classes(run.folder / CLASSES, overwrite=True)
            elif held_out:
                say(
                    f"No confusion matrix: {len(held_out.classes):,} classes are more than "
                    f"{MOST_CLASSES:,}."
                )
            if test:
                found["test"] = evaluate(model, test, **how)
        if process()[0] == 0:
            with whole_file(run.folder / RESULTS, overwrite=True) as path:
                path.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    if found and found["worst"]:
        say(f"Worst classes: {', '.join(found['worst'])}.")
    if found and test:
        say(f"test: {said(found['test'])}")
    return found


def said(measured):
    """`"200 pictures, loss 0.412, accuracy 87.50%"`, with the interval where there are few."""
    accuracy, images = measured["accuracy"], measured["images"]
    return (
        f"{images:,} pictures, loss {measured['loss']:.3f}, accuracy {accuracy:.2%}"
        f"{uncertain(accuracy, images)}"
    )


def uncertain(accuracy, images):
    """`" (95% interval 82.2% to 91.4%)"` where an accuracy is of few images, else `""`."""
    if images >= FEW or not images:
        return ""
    low, high = interval(accuracy, images)
    return f" (95% interval {low:.1%} to {high:.1%})"


def _kept(folder, of):
    """The results in a folder, where they are of this model and these images; else None."""
    try:
        found = json.loads((folder / RESULTS).read_text(encoding="utf-8"))
        return found if found["of"] == of else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


@contextmanager
def _weights_of(model, file):
    """A context in which a model has the weights of a file; None for its own."""
    if file is None:
        yield
        return
    own = [ops.convert_to_numpy(variable) for variable in model.variables]
    model.load_weights(file)
    try:
        yield
    finally:
        for variable, value in zip(model.variables, own, strict=True):
            variable.assign(value)
