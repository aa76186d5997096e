"""The command that shows `.tflite` files in a browser: serve."""

import webbrowser
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Annotated

import typer

from keras_mixer._quiet import quiet
from keras_mixer._text import listed
from keras_mixer.cli.output import console, warn


def serve(
    folder: Annotated[
        Path, typer.Argument(help="A folder of .tflite files, as `keras-mixer export` writes it.")
    ],
    port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="By default the first free one from 8321; 0 for any."),
    ] = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Open the page in the browser.")
    ] = True,
    litert_js: Annotated[
        Path | None,
        typer.Option(
            help="The folder node_modules/@litertjs, for a machine without network; by default "
            "LiteRT.js is fetched from npm once (12 MB)."
        ),
    ] = None,
):
    """Show a folder of .tflite files in the browser: classify pictures, or what the camera sees.

    The page is for this machine alone, 127.0.0.1, and sends nothing. LiteRT.js runs the files.
    """
    with quiet():
        from keras_mixer.web import litert_js as packages
        from keras_mixer.web.server import Server, leading_out, tflite_files

        files = tflite_files(folder)
    if litert_js is not None:
        scripts = packages.installed(litert_js)
    else:
        if new := packages.missing():
            console.print(
                f"Fetching LiteRT.js {new[0].version} from {new[0].release.url}, once.",
                soft_wrap=True,
                highlight=False,
            )
        scripts = packages.fetched()
    with suppress(KeyboardInterrupt), Server(folder, scripts, port) as server:
        console.print(
            f"{server.url} shows {', '.join(files)}. Ctrl-C ends it.",
            soft_wrap=True,
            highlight=False,
        )
        if links := leading_out(folder):
            warn(f"Links that lead out of {folder} are not shown: {listed(links)}. Copy the files.")
        if browser:
            # A browser in the terminal holds up its caller until it ends.
            Thread(target=webbrowser.open, args=[server.url], daemon=True).start()
        server.serve_forever()
