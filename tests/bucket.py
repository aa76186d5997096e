"""A server on this machine in place of the public address."""

import hashlib
import threading
from base64 import b64encode
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from keras_mixer.weights import Release


class Bucket:
    """A loopback stand-in for the public address: one file, and what may go wrong with it.

    Attributes:
        content: The file's bytes.
        folder: Where a test may put files.
        cuts: After how many bytes of its answer each of the next requests is cut off.
        statuses: The HTTP errors with which the next requests are answered.
        md5: The MD5 digest to announce; None for the true one, "" for none.
        etag: Whether answers carry an ETag.
        length: A Content-Length to claim instead of the true one.
        requests: The Range header of every request so far, None without.
        hold: When set, an answer stops half way until `go_on` is called.
    """

    def __init__(self, content, folder):
        self.content, self.folder = content, folder
        self.cuts, self.statuses, self.md5, self.etag, self.length = [], [], None, True, None
        self.requests, self.hold = [], False
        self.half_way, self.released = threading.Event(), threading.Event()
        bucket = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                bucket.answer(self)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *_: None  # a client that is killed is no news
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def release(self):
        url = f"http://127.0.0.1:{self.server.server_port}/models/set/Some-Model.npz"
        return Release(url, round(len(self.content) / 2**20, 2))

    def go_on(self):
        self.released.set()

    def answer(self, request):
        self.requests.append(request.headers.get("Range"))
        if self.statuses:
            request.send_error(self.statuses.pop(0))
            return
        tag = hashlib.sha256(self.content).hexdigest()[:16]
        start = 0
        if self.requests[-1] and request.headers.get("If-Range") == f'"{tag}"':
            start = int(self.requests[-1].removeprefix("bytes=").removesuffix("-"))
        if start >= len(self.content):
            request.send_error(416)
            return
        request.send_response(206 if start else 200)
        body = self.content[start:]
        request.send_header("Content-Length", str(self.length or len(body)))
        if self.etag:
            request.send_header("ETag", f'"{tag}"')
        if self.md5 != "":
            md5 = self.md5 or b64encode(hashlib.md5(self.content).digest()).decode()
            request.send_header("x-goog-hash", "crc32c=AAAAAA==")
            request.send_header("x-goog-hash", f"md5={md5}")
        request.end_headers()
        if self.hold:
            request.wfile.write(body[: len(body) // 2])
            request.wfile.flush()
            self.half_way.set()
            self.released.wait(60)
            body = body[len(body) // 2 :]
        request.wfile.write(body[: self.cuts.pop(0)] if self.cuts else body)
