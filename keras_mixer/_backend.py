"""What to say when Keras's backend is not installed."""


def cure(error):
    """The message of an ImportError, with what to install where Keras misses its backend."""
    missing = (error.name or "").split(".")[0]
    if missing not in ("tensorflow", "jax", "torch"):
        return str(error)
    return (
        f"Keras is set to run on {missing}, which is not installed. For TensorFlow: "
        'pip install "keras-mixer[cpu]", or [gpu], or [tpu]. For another backend install it and '
        "set KERAS_BACKEND."
    )
