"""`keras-mixer serve` gives browsers the page and a folder's models, and nothing else."""

import base64
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import urllib.error
import urllib.request
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import unquote

import pytest

from keras_mixer.web import litert_js
from keras_mixer.web.litert_js import PACKAGES, Package
from keras_mixer.web.server import CHECKOUT, PORT, Server, leading_out, tflite_files
from tests.conftest import ROOT

PAGE = (CHECKOUT / "index.html").read_text()
# In the page it binds the page alone, as a header its threads and the service worker too.
POLICY = re.search(r'content="(default-src [^"]*)"', PAGE)[1] + "; frame-ancestors 'none'"
SCRIPTS = {"core/dist/index.js": b"export {}", "core/wasm/x.wasm": b"\0asm"}


@pytest.fixture
def app(tmp_path):
    folder = tmp_path / "app"
    folder.mkdir()
    (folder / "model_int8.tflite").write_bytes(b"TFL3 int8")
    (folder / "model_float32.tflite").write_bytes(b"TFL3 float32")
    (folder / "README.md").write_text("the card")
    return folder


@pytest.fixture
def server(app):
    with Server(app, SCRIPTS, port=0) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def ask(server, path, method="GET", **headers):
    """An answer to a path as it stands, which urllib would clean."""
    connection = HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer, body


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/index.html", "text/html; charset=utf-8"),
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/style.css", "text/css; charset=utf-8"),
        ("/icon.svg", "image/svg+xml"),
        ("/litert/core/wasm/x.wasm", "application/wasm"),
        ("/litert/core/dist/index.js", "text/javascript; charset=utf-8"),
        ("/model/files.json", "application/json"),
        ("/model/model_int8.tflite", "application/octet-stream"),
        ("/app.js?any=thing", "text/javascript; charset=utf-8"),
    ],
)
def test_what_the_page_needs_has_its_type_and_the_headers_for_threads(server, path, kind):
    answer, body = ask(server, path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
    assert answer.headers["Content-Length"] == str(len(body)) != "0"
    assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    assert answer.headers["Content-Security-Policy"] == POLICY
    head, nothing = ask(server, path, "HEAD")
    assert (head.status, head.headers["Content-Length"], nothing) == (200, str(len(body)), b"")
    again, nothing = ask(server, path, **{"If-None-Match": answer.headers["ETag"]})
    assert (again.status, nothing) == (304, b"")


def test_files_are_listed_as_they_are_now(server, app):
    def addresses():
        return dict(each.split("?") for each in json.loads(ask(server, "/model/files.json")[1]))

    first = addresses()
    assert [*first] == ["model_float32.tflite", "model_int8.tflite"]
    (app / "model_float32.tflite").write_bytes(b"TFL3 float64")
    (app / "größer als 50%?.tflite").write_bytes(b"new")
    second = addresses()
    assert second["model_int8.tflite"] == first["model_int8.tflite"]
    assert second["model_float32.tflite"] != first["model_float32.tflite"]
    [new] = second.keys() - first.keys()
    assert ask(server, f"/model/{new}?{second[new]}")[1] == b"new"
    before = ask(server, "/model/model_int8.tflite")[0].headers["ETag"]
    (app / "model_int8.tflite").write_bytes(b"another one")
    answer, body = ask(server, "/model/model_int8.tflite", **{"If-None-Match": before})
    assert (answer.status, body) == (200, b"another one")


@pytest.mark.parametrize(
    "path",
    [
        *("/../pyproject.toml", "/model/../secret.tflite", "/model/%2e%2e/secret.tflite"),
        *("/model/..%2fsecret.tflite", "/model/..\\secret.tflite", "/model//etc/passwd"),
        *("/model/sub/deep.tflite", "/model/sub%2fdeep.tflite", "/model/", "/model"),
        *("/model/README.md", "/model/link.tflite", "/model/folder.tflite", "/model/%00"),
        *("/litert/../app.js", "/server.py", "/README.md", "/model/\udcff.tflite"),
    ],
)
def test_no_path_leads_out_of_the_folder(server, app, path):
    (app.parent / "secret.tflite").write_bytes(b"secret")
    (app / "sub").mkdir()
    (app / "sub" / "deep.tflite").write_bytes(b"secret")
    (app / "folder.tflite").mkdir()
    (app / "link.tflite").symlink_to(app.parent / "secret.tflite")
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(request.encode(errors="surrogateescape"))
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith((b"HTTP/1.1 404 ", b"HTTP/1.1 400 "))
    assert b"secret" not in answer


def test_a_link_within_the_folder_is_a_file_like_others(server, app):
    (app / "best.tflite").symlink_to(app / "model_int8.tflite")
    assert ask(server, "/model/best.tflite")[1] == b"TFL3 int8"


def test_names_may_be_in_capitals_and_need_not_be_utf_8(server, app):
    (app / "MODEL.TFLITE").write_bytes(b"TFL3 capitals")
    odd = os.fsdecode(b"caf\xe9.tflite")
    try:
        (app / odd).write_bytes(b"TFL3 latin")
    except OSError:
        pytest.skip("this file system takes names in UTF-8 alone")
    addresses = json.loads(ask(server, "/model/files.json")[1])
    names = [unquote(address.split("?")[0]) for address in addresses]
    contents = {
        name: ask(server, f"/model/{each}")[1] for name, each in zip(names, addresses, strict=True)
    }
    assert names[0] == "MODEL.TFLITE"
    assert contents["MODEL.TFLITE"] == b"TFL3 capitals"
    assert contents["caf\N{REPLACEMENT CHARACTER}.tflite"] == b"TFL3 latin"


def test_links_that_lead_out_are_named(app, tmp_path):
    (tmp_path / "far.tflite").write_bytes(b"TFL3")
    (app / "near.tflite").symlink_to(tmp_path / "far.tflite")
    assert leading_out(app) == ["near.tflite"]
    assert [*tflite_files(app)] == ["model_float32.tflite", "model_int8.tflite"]
    for name in tflite_files(app):
        (app / name).unlink()
    with pytest.raises(
        FileNotFoundError, match=r"no \.tflite file but links .*, near\.tflite\. Make"
    ):
        tflite_files(app)


def test_only_this_machine_s_names_are_answered(server):
    # A name of somebody else's that leads to 127.0.0.1 would let a page elsewhere read the models.
    assert ask(server, "/", Host="evil.example")[0].status == 421
    assert ask(server, "/", Host=f"localhost:{server.server_port}")[0].status == 200
    assert ask(server, "/", Host="LOCALHOST")[0].status == 200
    assert server.server_address[0] == "127.0.0.1"
    assert ask(server, "/", "POST")[0].status == 501


def test_a_port_in_use_is_an_error_or_the_next_one_is_taken(server, app):
    with pytest.raises(OSError, match=rf"Port {server.server_port} is in use.*--port 0"):
        Server(app, SCRIPTS, port=server.server_port)
    with Server(app, SCRIPTS) as first, Server(app, SCRIPTS) as second:
        assert PORT <= first.server_port < second.server_port


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        (".", "has no .tflite file. Make one: keras-mixer export"),
        ("app/model_int8.tflite", "is a file. Give its folder"),
        ("nowhere", "There is no folder at"),
    ],
)
def test_a_folder_without_models_is_one_line_that_says_how_to_make_one(app, folder, words, here):
    done = here("serve", folder, "--no-browser", cwd=app.parent, check=False)
    assert done.returncode == 1
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_ctrl_c_ends_the_command_quietly(app, here, monkeypatch, tmp_path):
    npm = npm_folder(tmp_path)
    seen = []

    def visit(url):
        with urllib.request.urlopen(url, timeout=10) as answer:
            seen.append(answer.read())
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("webbrowser.open", visit)  # which, like lynx, waits for the page
    # A shell lets processes in the background ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        done = here("serve", app, "--port", "0", "--litert-js", npm, cwd=app.parent)
    finally:
        signal.signal(signal.SIGINT, before)
    assert re.match(r"http://127.0.0.1:\d+/ shows model_float32.tflite, model_int8", done.stdout)
    assert done.stderr == ""
    assert seen == [(CHECKOUT / "index.html").read_bytes()]


# -------------------------------------------------------------------------------------- LiteRT.js
def npm_folder(folder):
    """What `npm install` makes, as far as it counts here."""
    scope = folder / "node_modules" / "@litertjs"
    for package in PACKAGES:
        (scope / package.name / "dist").mkdir(parents=True)
        (scope / package.name / "dist" / "index.js").write_text("export {}")
        (scope / package.name / "package.json").write_text("{}")
    (scope / "core" / "wasm").mkdir()
    (scope / "core" / "wasm" / "x.wasm").write_bytes(b"\0asm")
    return folder / "node_modules"


def test_a_folder_of_npm_s_serves_instead_of_the_network(tmp_path):
    npm = npm_folder(tmp_path)
    for folder in (tmp_path, npm, npm / "@litertjs"):
        found = ["core/dist/index.js", "core/wasm/x.wasm", "wasm-utils/dist/index.js"]
        assert [*litert_js.installed(folder)] == found
    with pytest.raises(FileNotFoundError, match="npm install @litertjs/core"):
        litert_js.installed(tmp_path / "elsewhere")
    shutil.rmtree(npm / "@litertjs" / "core" / "wasm")
    with pytest.raises(FileNotFoundError, match=r"core/wasm; .* does not have them"):
        litert_js.installed(npm)


@pytest.fixture
def package(bucket, monkeypatch):
    """A package of one file, in a registry on this machine."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as tar:
        for name, content in {"dist/index.js": b"export {}", "package.json": b"{}"}.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    bucket.content = file.getvalue()
    digest = base64.b64encode(hashlib.sha512(bucket.content).digest()).decode()
    package = Package("core", "9.9.9", None, digest)
    monkeypatch.setattr(litert_js, "PACKAGES", (package,))
    registry = bucket.release.url.partition("/models")[0]
    monkeypatch.setenv("npm_config_registry", f"{registry}/")
    return package


def test_litert_js_is_fetched_once_from_the_registry_that_npm_is_set_to(package, bucket):
    assert litert_js.missing() == [package]
    assert package.release.url.endswith("/@litertjs/core/-/core-9.9.9.tgz")
    for _ in range(2):
        assert litert_js.fetched() == {"core/dist/index.js": b"export {}"}
    assert len(bucket.requests) == 1
    assert litert_js.missing() == []


def test_a_tarball_of_another_digest_is_refused_and_not_kept(package, bucket):
    good, bucket.content = bucket.content, b"something else"
    with pytest.raises(ValueError, match=r"is not @litertjs/core 9\.9\.9: its SHA-512 digest is"):
        litert_js.fetched()
    assert litert_js.missing() == [package]
    bucket.content = good
    assert litert_js.fetched() == {"core/dist/index.js": b"export {}"}


def test_without_network_the_error_says_what_to_do(package, bucket):
    bucket.statuses = [503] * 9
    with pytest.raises(ConnectionError, match=r"core-9\.9\.9\.tgz did not come.*--litert-js"):
        litert_js.fetched()


def test_the_pinned_versions_are_those_of_the_page_s_package_json():
    wanted = json.loads((CHECKOUT / "package.json").read_text())["dependencies"]
    assert wanted == {f"@litertjs/{package.name}": package.version for package in PACKAGES}
    tools = (ROOT / ".ci/tools/web").read_text()
    for package in PACKAGES:
        assert len(base64.b64decode(package.sha512)) == 64
        assert f'"@litertjs/{package.name}@{package.version}": "{package.sha512}"' in tools


# --------------------------------------------------------------------------------------- the page
def test_the_page_may_load_from_its_own_origin_alone():
    assert POLICY.startswith("default-src 'self';")
    inline = re.search(r'<script type="importmap">(.*?)</script>', PAGE, re.S)[1]
    digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in POLICY
    assert f"    Content-Security-Policy: {POLICY}\n" in (CHECKOUT / "README.md").read_text()
    for file in CHECKOUT.iterdir():
        # The namespace of SVG and LiteRT.js's own addresses are names, not requests.
        urls = {*re.findall(r"https?://[^\s\"')]+", file.read_text())}
        assert file.suffix == ".md" or urls <= {"http://www.w3.org/2000/svg"}


def test_a_wheel_has_the_page(tmp_path):
    command = [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, env={**os.environ, "PYTHONWARNINGS": "ignore"})
    page = tmp_path / "keras_mixer" / "web" / "page"
    assert {p.name: p.read_bytes() for p in page.iterdir()} == {
        p.name: p.read_bytes() for p in CHECKOUT.iterdir()
    }
    assert Path(page, "index.html").exists()
