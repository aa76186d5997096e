"""The server of the page in `tflite/web/`, for this machine alone."""

import io
import json
import os
import re
from collections.abc import Mapping
from contextlib import suppress
from errno import EADDRINUSE
from hashlib import sha256
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from shutil import copyfileobj
from urllib.parse import quote, unquote, urlsplit

from keras_mixer._text import listed

HOST = "127.0.0.1"
NAMES = HOST, "localhost"  # by which this machine's browsers ask for it
PORT, PORTS = 8321, 10  # the first port, and how many are tried
PACKAGED = Path(__file__).parent / "page"  # in a wheel
CHECKOUT = Path(__file__).parents[2] / "tflite" / "web"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
HEADERS = {
    # With these two a page may share memory between threads.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # ask each time whether it has changed
}
LIST = "files.json"


def tflite_files(folder: Path) -> dict[str, Path]:
    """The `.tflite` files of a folder by their names, without those of `leading_out`.

    Raises:
        FileNotFoundError, NotADirectoryError: There is no such folder, or no such file in it.
    """
    if not folder.is_dir():
        if folder.exists():
            raise NotADirectoryError(
                f"serve shows a folder of .tflite files; {folder} is a file. Give its folder."
            )
        raise FileNotFoundError(f"There is no folder at {str(folder)!r}.")
    found = _inside(folder)
    if not found:
        links = leading_out(folder)
        but = f" but links that lead out of it, {listed(links)}" if links else ""
        raise FileNotFoundError(
            f"{folder} has no .tflite file{but}. Make one: keras-mixer export MODEL --output "
            f"{folder}"
        )
    return found


def leading_out(folder: Path) -> list[str]:
    """The names of the links to `.tflite` files that lead out of a folder and are not shown."""
    return sorted(_all(folder).keys() - _inside(folder).keys())


def _inside(folder):
    whole = folder.resolve()
    return {name: path for name, path in _all(folder).items() if whole in path.resolve().parents}


def _all(folder):
    files = sorted(path for path in folder.glob("*") if path.is_file())
    return {_name(path): path for path in files if path.suffix.lower() == ".tflite"}


def _name(path):
    """A file's name as text, which the page shows and asks for; it need not be UTF-8."""
    return os.fsencode(path.name).decode(errors="replace")


def _addresses(files):
    """Addresses beside the list, with a query that changes when the file does."""
    for name, path in files.items():
        with suppress(OSError):  # it was deleted
            yield f"{quote(name)}?{_tag(path.stat())}"


def _tag(stat):
    return f"{stat.st_mtime_ns:x}-{stat.st_size:x}"


class Server(ThreadingHTTPServer):
    """Serves the page, LiteRT.js and the `.tflite` files of a folder, on 127.0.0.1 alone.

    It answers requests for these files and no others, also for files that are exported later.

    Args:
        folder: A folder with `.tflite` files, as `keras_mixer.tflite.export` writes it.
        litert_js: Files of LiteRT.js, from `keras_mixer.web.litert_js`: path -> content or path.
        port: The port; 0 for any free one; by default the first free one of 8321 to 8330.

    Raises:
        FileNotFoundError, NotADirectoryError: There is no such folder, or no `.tflite` file in it.
        OSError: The port is not free, or may not be used.

    Attributes:
        url: The page's address.
    """

    daemon_threads = True
    allow_reuse_address = os.name == "posix"  # on Windows two servers could share a port

    def __init__(
        self, folder: Path, litert_js: Mapping[str, bytes | Path], port: int | None = None
    ) -> None:
        tflite_files(folder)
        self.folder = folder
        page = PACKAGED if PACKAGED.is_dir() else CHECKOUT
        self.fixed = {f"/{file.name}": file for file in page.iterdir() if file.suffix in TYPES}
        self.fixed["/"] = self.fixed["/index.html"]
        # A page's own policy does not bind its workers: theirs comes with each script.
        policy = re.search(r'content="(default-src [^"]+)"', self.fixed["/"].read_text("utf-8"))[1]
        self.headers = HEADERS | {"Content-Security-Policy": f"{policy}; frame-ancestors 'none'"}
        self.fixed |= {f"/litert/{path}": content for path, content in litert_js.items()}
        super().__init__((HOST, 0), Handler, bind_and_activate=False)
        ports = range(PORT, PORT + PORTS) if port is None else [port]
        try:
            self._bind(ports)
            self.server_activate()
        except OSError:
            self.server_close()
            raise

    def _bind(self, ports):
        for port in ports:
            self.server_address = HOST, port
            try:
                return self.server_bind()
            except OSError as error:
                if error.errno != EADDRINUSE:
                    raise OSError(f"Port {port} cannot be used: {error.strerror}.") from None
        tried = f"Port {ports[0]} is" if len(ports) == 1 else f"Ports {PORT} to {ports[-1]} are"
        raise OSError(f"{tried} in use. Choose another with --port, or any free one with --port 0.")

    @property
    def url(self):
        return f"http://{HOST}:{self.server_port}/"

    def content(self, path):
        """The content of a request's path, bytes or a file's path; None if there is none."""
        if path in self.fixed:
            return self.fixed[path]
        name = path.removeprefix("/model/")
        if name == path:
            return None
        files = _inside(self.folder)
        return json.dumps([*_addresses(files)]).encode() if name == LIST else files.get(name)

    def handle_error(self, request, client_address):
        """A browser that closes a connection is no news."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "keras-mixer"
    timeout = 60  # seconds that a connection may be idle

    def do_GET(self):
        self.answer(with_body=True)

    def do_HEAD(self):
        self.answer(with_body=False)

    def answer(self, with_body):
        host, _, last = self.headers.get("Host", "").rpartition(":")
        name = (host or last).lower()
        if name not in NAMES:  # a page elsewhere, whose name leads to this machine
            return self.send_error(HTTPStatus.MISDIRECTED_REQUEST)
        path = unquote(urlsplit(self.path).path)
        content = self.server.content(path)
        with suppress(OSError):  # the browser has closed the connection
            if isinstance(content, bytes):
                self.send(path, io.BytesIO(content), sha256(content).hexdigest()[:32], with_body)
                return
            file = self.opened(content)
            if file is None:
                self.send_error(HTTPStatus.NOT_FOUND)
                return
            with file:
                self.send(path, file, _tag(os.fstat(file.fileno())), with_body)

    def opened(self, path):
        with suppress(OSError):
            return path and path.open("rb")

    def send(self, path, file, tag, with_body):
        """Sends an open file, unless the browser has it under the same tag."""
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        tag = f'"{tag}"'
        unchanged = self.headers.get("If-None-Match") == tag
        self.send_response(HTTPStatus.NOT_MODIFIED if unchanged else HTTPStatus.OK)
        self.send_header("ETag", tag)
        if not unchanged:
            suffix = ".html" if path == "/" else Path(path).suffix
            self.send_header("Content-Type", TYPES.get(suffix, "application/octet-stream"))
            self.send_header("Content-Length", str(size))
        self.end_headers()
        if with_body and not unchanged:
            copyfileobj(file, self.wfile)

    def end_headers(self):
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        super().end_headers()

    def log_message(self, *_):
        pass
