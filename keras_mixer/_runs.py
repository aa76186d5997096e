"""What is in the folder of a run of training."""

from pathlib import Path

STATE = "state.safetensors"  # what the next step depends on
BEST, LAST = "best.keras", "last.keras"  # models ready for use
LABELS, LOG, SKIPPED = "labels.txt", "log.csv", "skipped.txt"


def model_file(model):
    """The best model of a run's folder; any other path or name as it is.

    Raises:
        FileNotFoundError: The folder has no best model.
    """
    path = Path(model)
    if not path.is_dir():
        return path
    if not (path / BEST).is_file():
        raise FileNotFoundError(
            f"{path} holds no {BEST}: it is not the folder of a run, or the run has not finished "
            "its first epoch."
        )
    return path / BEST
