"""`keras-mixer`: the command line. What its commands do, functions of the package do.

A module holds a group of commands. They import Keras and TensorFlow when they run, so that `--help`
does not wait for them.
"""

import os
import sys
import warnings
from io import TextIOWrapper
from types import SimpleNamespace
from typing import Annotated

import typer

from keras_mixer._accelerators import tpu_address, tpu_chips
from keras_mixer._backend import LOAD
from keras_mixer._quiet import quiet_at_exit
from keras_mixer.cli import export, machine, models, serve, train
from keras_mixer.cli.errors import report
from keras_mixer.cli.options import Recipe
from keras_mixer.cli.output import console, warn

__all__ = ["Recipe", "app", "console", "main"]

app = typer.Typer(
    name="keras-mixer",
    help="All-MLP vision models in Keras: train one, export it to .tflite, check it, use it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def main():
    """The console script: a user's mistake is one line on standard error and exit code 1."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    for stream in (sys.stdout, sys.stderr):
        # A character that a terminal cannot show is shown by its number: \u03b1 for alpha.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    quiet_at_exit()
    warnings.showwarning = lambda message, *where: warn(message)
    settings = SimpleNamespace(debug=False)
    try:
        if "" in sys.argv[1:]:  # as a path it would be the current folder
            raise ValueError(
                "An argument is empty, perhaps from a shell variable that is not set. Leave out an "
                "option that is to be empty."
            )
        app(obj=settings)
    except Exception as error:
        report(error, settings.debug)
        sys.exit(1)


@app.callback()
def prepare(
    context: typer.Context,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show the traceback of every error.")
    ] = False,
):
    context.ensure_object(SimpleNamespace).debug = debug
    wanted = context.invoked_subcommand in ("train", "evaluate") and (tpu_chips() or tpu_address())
    if not wanted:
        os.environ.setdefault(LOAD, "0")


for _command in (  # in the order of --help
    *(machine.quickstart, machine.doctor, models.models),
    *(train.train, train.evaluate, train.recipes, machine.preflight),
    *(export.export, export.inspect, export.verify, export.sensitivity, export.benchmark),
    export.c_array,
    *(models.predict, serve.serve, models.show_weights),
):
    app.command()(_command)
