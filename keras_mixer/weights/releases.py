"""Released files: part of the package, or downloaded from their authors into a cache."""

import glob
import hashlib
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.request
import warnings
from base64 import b64decode
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from filelock import FileLock, Timeout
from tqdm import tqdm

from keras_mixer._files import whole_file
from keras_mixer.images import Preprocessing

MIB = 2**20
TOLERANCE = 0.05  # MiB: known sizes have two decimals
ATTEMPTS = 5  # consecutive requests without progress
PAUSE = 1.0  # seconds before the next one
TIMEOUT = 60  # seconds without a byte
BLOCK = 2**20
ELSEWHERE = "The environment variable KERAS_HOME chooses another folder for the cache."


@dataclass(frozen=True)
class Release:
    """A file that the authors of a paper published on the web.

    Attributes:
        url: Its address.
        mib: Its size in MiB, to two decimals; None if unknown.
        preprocessing: The images that it was trained for, and how they are cropped for evaluation.
        sha256: Its digest; None if unknown.
    """

    url: str
    mib: float | None
    preprocessing: Preprocessing | None = None
    sha256: str | None = None

    @property
    def path(self):
        """Its place in the cache: `KERAS_HOME/keras_mixer/`, then the path of its address."""
        home = os.environ.get("KERAS_HOME") or Path.home() / ".keras"
        return Path(home, "keras_mixer", urlsplit(self.url).path.lstrip("/"))


@dataclass(frozen=True)
class Shipped:
    """A file of trained weights that comes with the package, with a card and the class names.

    Attributes:
        name: Name of the file in `keras_mixer/weights/shipped/`.
        preprocessing, sha256: As of a `Release`.
    """

    name: str
    preprocessing: Preprocessing | None = None
    sha256: str | None = None

    @property
    def path(self):
        """Path of the file."""
        return Path(__file__).parent / "shipped" / self.name

    @property
    def labels(self):
        """A text file with its class names, one per line."""
        return self.path.with_suffix(".txt")


def fetch(release: Release | Shipped) -> Path:
    """The path of a released file on this machine; it is downloaded if it is not there.

    An interrupted download is resumed, also by a later call. A file enters the cache only when it
    is complete: its size and digest are compared with those of the release, if they are known, and
    its MD5 digest with the one that the server announces. Its SHA-256 digest is kept beside it and
    compared in each later call. If several processes need a file, one downloads it and the others
    wait. A file that was put into the cache by hand is used if its size and digest are right.

    Args:
        release: A `Release`; or a `Shipped`, which needs no download.

    Raises:
        FileNotFoundError: The server does not have it.
        ConnectionError: The server cannot be reached, or the connection breaks again and again.
        ValueError: The file is not the released one, or differs from the one downloaded before.
        OSError: The cache cannot be written, or its disk is full.
    """
    path = release.path
    if isinstance(release, Shipped):
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = _alone(path)
    except OSError as error:
        raise OSError(f"{error}. {ELSEWHERE}") from None
    with lock:
        if path.exists() and _seen(path) is None:  # put there by hand
            _adopt(release, path, None)
        elif not _is_intact(path):
            part, md5 = _download(release)
            try:
                _adopt(release, part, md5)
            except ValueError:
                part.unlink()
                raise
    return path


def _alone(path):
    """A lock that one process holds at a time; says so when it has to wait for another."""
    lock = FileLock(f"{path}.lock")
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        tqdm.write(f"Another process is fetching {path.name}; waiting for it.", file=sys.stderr)
        return lock.acquire()


def _is_intact(path):
    """Whether the file in the cache is unchanged; a damaged one is removed."""
    if not path.exists():
        return False
    if _digest(path, "sha256") == _seen(path):
        return True
    warnings.warn(f"{path} is not as it came; it is fetched again.", stacklevel=2)
    path.unlink()
    return False


def _download(release):
    """Requests the file until it is complete; returns its path and the announced MD5 digest."""
    failures, had = 0, _received(release.path)
    while True:
        try:
            return _receive(release)
        except urllib.error.HTTPError as error:
            if error.code < 500 and error.code not in (408, 416, 429):
                raise FileNotFoundError(
                    f"{release.url} is not there: {error.code} {error.reason}."
                ) from None
            reason = f"{error.code} {error.reason}"
        except urllib.error.URLError as error:
            reason = error.reason
        except (HTTPException, ConnectionError, TimeoutError) as error:
            reason = error
        before, had = had, _received(release.path)
        failures = failures + 1 if had <= before else 1
        if failures == ATTEMPTS:
            of = f" of {release.mib}" if release.mib else ""
            kept = f"{had / MIB:.2f}{of} MiB are kept for the next try. " if had else ""
            raise ConnectionError(
                f"{release.url} did not come: {reason}. {kept}A file that was fetched in another "
                f"way can be given as weights=PATH, or be put at {release.path}."
            )
        time.sleep(PAUSE)


def _adopt(release, file, md5):
    """Moves a complete file into the cache; ValueError if it is not the released one."""
    sha256 = _digest(file, "sha256")
    problem = _problem(release, file, md5, sha256)
    if problem:
        raise ValueError(f"{release.path if file == release.path else release.url} {problem}")
    with whole_file(_beside(release.path), overwrite=True) as digest:
        digest.write_text(f"{sha256}  {release.path.name}\n")  # as sha256sum writes it
    file.replace(release.path)


def _receive(release):
    """One request, which continues an interrupted one; returns as `_download`."""
    path, headers = release.path, {"User-Agent": "keras-mixer"}
    part = next((part for part in _parts(path) if _etag(part)), None)
    if part:
        start = part.stat().st_size
        headers |= {"Range": f"bytes={start}-", "If-Range": f'"{_etag(part)}"'}
    request = urllib.request.Request(release.url, headers=headers)
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and part:  # the part is as long as the file already, or longer
            part.unlink()
        raise
    with response:
        if response.status != 206:  # from the start, perhaps because the file has changed
            for part in _parts(path):
                part.unlink()
            # The next request can continue a part only if the part's ETag is known.
            etag = re.fullmatch(r'"([\w-]+)"', response.headers.get("ETag", ""))
            part, start = Path(f"{path}.part-{etag[1] if etag else ''}"), 0
        total = start + int(response.headers.get("Content-Length", 0))
        _check_room(path.parent, total - start)
        with (
            part.open("ab") as file,
            tqdm(
                desc=path.name,
                initial=start,
                total=total,
                unit="B",
                unit_scale=True,
                unit_divisor=1024,
            ) as bar,
        ):
            while block := response.read(BLOCK):
                try:
                    file.write(block)
                    file.flush()
                except OSError as error:
                    part.unlink()
                    raise _no_room(path.parent, total, error) from None
                bar.update(len(block))
        if part.stat().st_size < total:
            raise ConnectionError("the connection broke")
        md5 = re.search(r"md5=([\w+/=]+)", ",".join(response.headers.get_all("x-goog-hash", [])))
        return part, md5 and b64decode(md5[1]).hex()


def _problem(release, file, md5, sha256):
    """What is wrong with a whole file, as the end of a sentence; None for nothing."""
    size = file.stat().st_size / MIB
    seen = _seen(release.path)
    if release.sha256 and sha256 != release.sha256:
        return f"has the SHA-256 digest {sha256}, and the released file has {release.sha256}."
    if release.mib and abs(size - release.mib) > TOLERANCE:
        return f"has {size:.2f} MiB, and the released file has {release.mib}."
    if md5 and _digest(file, "md5") != md5:
        return f"came damaged: its MD5 digest is not the server's, {md5}. Try again."
    if seen and sha256 != seen:
        return (
            f"is another file than the one seen before on this machine (SHA-256 {sha256}, then "
            f"{seen}). If its authors replaced it, delete {_beside(release.path)} and try again."
        )
    return None


def _check_room(folder, size):
    if shutil.disk_usage(folder).free < size:
        raise _no_room(folder, size, None)


def _no_room(folder, size, error):
    return OSError(
        f"There is no room for {size / MIB:.1f} MiB in {folder}{f': {error}' if error else ''}. "
        f"{ELSEWHERE}"
    )


def _parts(path):
    return sorted(path.parent.glob(f"{glob.escape(path.name)}.part-*"))


def _etag(part):
    return part.name.rpartition(".part-")[2]


def _received(path):
    return max((part.stat().st_size for part in _parts(path)), default=0)


def _beside(path):
    return Path(f"{path}.sha256")


def _seen(path):
    """The SHA-256 digest that the file had when it came to this machine; None before that."""
    return _beside(path).read_text().split()[0] if _beside(path).exists() else None


def _digest(path, algorithm):
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()
