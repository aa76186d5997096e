"""LiteRT.js, which runs `.tflite` files in a browser: its npm packages, fetched once.

It is Google's, under the Apache License 2.0, and has 38 MB, so that it is not part of this package.
"""

import base64
import hashlib
import os
import tarfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from keras_mixer._text import listed
from keras_mixer.weights.releases import Release, fetch

REGISTRY = "https://registry.npmjs.org"
VARIABLES = "npm_config_registry", "NPM_CONFIG_REGISTRY"
FOLDERS = "dist", "wasm"  # of a package; what a page loads is in these


@dataclass(frozen=True)
class Package:
    """An npm package in the scope `@litertjs`.

    Attributes:
        name: Its name in the scope, also the folder of its files beside the page.
        version: Its version.
        mib: The size of its tarball in MiB; None if it is too small to tell.
        sha512: The tarball's digest in base64, as in npm's lock files: `integrity` without its
            "sha512-".
    """

    name: str
    version: str
    mib: float | None
    sha512: str

    @property
    def release(self):
        """Its tarball in npm's registry, or in the one that npm is set to use."""
        registry = next(filter(None, map(os.environ.get, VARIABLES)), REGISTRY).rstrip("/")
        file = f"{self.name}-{self.version}.tgz"
        return Release(f"{registry}/@litertjs/{self.name}/-/{file}", self.mib)


PACKAGES = (
    Package(
        *("core", "2.5.3", 11.27),
        "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
    ),
    Package(
        *("wasm-utils", "2.5.3", None),
        "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
    ),
)


def fetched() -> dict[str, bytes]:
    """The files of LiteRT.js, from the cache of releases; what is not there is downloaded.

    Returns:
        Path below the page's folder `litert/`, such as `core/dist/index.js` -> content.

    Raises:
        ConnectionError, FileNotFoundError: The registry cannot be reached, or does not have it.
        ValueError: A tarball is not the one of this version.
        OSError: The cache cannot be written.
    """
    return {
        f"{package.name}/{path}": content
        for package in PACKAGES
        for path, content in _unpacked(package)
    }


def installed(folder: Path) -> dict[str, Path]:
    """The files of LiteRT.js in a folder, as `npm install @litertjs/core` makes it.

    Args:
        folder: The folder `node_modules/@litertjs`, or one with it.

    Returns:
        Path below the page's folder `litert/` -> path.

    Raises:
        FileNotFoundError: The folder does not have the packages.
    """
    places = folder, folder / "@litertjs", folder / "node_modules" / "@litertjs"
    needed = [*(f"{package.name}/dist/index.js" for package in PACKAGES), "core/wasm"]
    for place in places:
        if all((place / path).exists() for path in needed):
            return {
                file.relative_to(place).as_posix(): file
                for package in PACKAGES
                for part in FOLDERS
                for file in sorted((place / package.name / part).glob("*"))
                if file.is_file()
            }
    raise FileNotFoundError(
        f"--litert-js needs the folder node_modules/@litertjs with {listed(needed)}; "
        f"{folder} does not have them. `npm install @litertjs/core@{PACKAGES[0].version}` makes it."
    )


def missing() -> list[Package]:
    """The packages that `fetched` would download."""
    return [package for package in PACKAGES if not package.release.path.exists()]


def _unpacked(package):
    """Pairs of a path in the package and its content, from its tarball."""
    release = package.release
    try:
        path = fetch(release)
    except ConnectionError:
        raise ConnectionError(
            f"{release.url} did not come. Give LiteRT.js by --litert-js, or put the file at "
            f"{release.path}."
        ) from None
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if digest != package.sha512:
        path.unlink()
        Path(f"{path}.sha256").unlink(missing_ok=True)
        raise ValueError(
            f"{release.url} is not @litertjs/{package.name} {package.version}: its SHA-512 digest "
            f"is {digest}, and npm's is {package.sha512}. It was deleted; try again, or give "
            "LiteRT.js by --litert-js."
        )
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                _, _, inner = member.name.partition("/")
                if member.isfile() and inner.partition("/")[0] in FOLDERS:
                    yield inner, tar.extractfile(member).read()
    except (tarfile.TarError, zlib.error, EOFError) as error:
        raise ValueError(f"{path} cannot be unpacked: {error}.") from None
