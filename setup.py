"""Packaging lives in pyproject.toml, except for files from outside the package's folder."""

from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

PAGE = Path("tflite/web")  # what `keras-mixer serve` shows; a checkout has it here alone
INSTALLED = Path("keras_mixer/web/page")


class BuildWithPage(build_py):
    """Copies the page into the package, where an installed one finds it."""

    def page(self):
        return {file: INSTALLED / file.name for file in sorted(PAGE.iterdir()) if file.is_file()}

    def run(self):
        super().run()
        if not self.editable_mode:
            for file, place in self.page().items():
                target = Path(self.build_lib, place)
                self.mkpath(str(target.parent))
                self.copy_file(str(file), str(target))

    def get_source_files(self):
        return [*super().get_source_files(), *map(str, self.page())]


setup(cmdclass={"build_py": BuildWithPage})
