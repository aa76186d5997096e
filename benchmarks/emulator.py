"""Runs `.tflite` files on ARM CPUs that QEMU emulates, and counts the instructions.

It needs what `.ci/tools/arm FOLDER` installs, with `KERAS_MIXER_TOOLS` set to the folder above.
Emulated times say nothing about a CPU. Scores are exact, and the number of instructions is the same
in each run.
"""

import json
import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from keras_mixer._files import whole_file

HERE = Path(__file__).parent
# No CPU of Linux without it, and LiteRT ends with a segmentation fault on a wrong one.
CPUINFO = """\
processor\t: {core}
BogoMIPS\t: 50.00
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x0
CPU part\t: {part:#05x}
CPU revision\t: 4

"""
BASE = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"


@dataclass(frozen=True)
class Cpu:
    """A CPU as QEMU calls it, and its part number."""

    qemu: str
    part: int


CPUS = {
    "cortex-a53": Cpu("cortex-a53", 0xD03),  # ARMv8.0
    "cortex-a76": Cpu("cortex-a76", 0xD0B),  # ARMv8.2 with float16 and int8 dot products
    # int8 matrix multiplications as well. Not SVE and SME: QEMU 7.2 multiplies wrongly in SMOPA.
    "i8mm": Cpu("max,sve=off,sme=off", 0xD0B),
}


def missing():
    """Why nothing can be emulated here; None if it can."""
    if shutil.which("qemu-aarch64") is None:
        return "qemu-aarch64 is not installed (.ci/tools/arm)"
    if not (_tools() / "done").exists():
        return "KERAS_MIXER_TOOLS has no arm/ (.ci/tools/arm)"
    return None


def run(files, images, cpu):
    """The scores of files for images on an emulated CPU: name -> `[N, scores]`.

    Args:
        files: Name -> content of a `.tflite` file.
        images: As the files take them, `[N, H, W, C]`.
        cpu: A name in `CPUS`.

    Raises:
        RuntimeError: The program failed; with the end of what it printed.
    """
    with TemporaryDirectory() as folder:
        return _run(files, images, cpu, Path(folder))


def count(content, images, cpu):
    """Kind of instruction -> how many of them a file's inference of the last image executes."""
    with TemporaryDirectory() as folder:
        counts = Path(folder) / "counts.json"
        _run(
            {"model": content}, images, cpu, Path(folder), ["--count"], f"{_plugin()},out={counts}"
        )
        return json.loads(counts.read_text())


def _run(files, images, cpu, folder, options=(), plugin=None):
    if why := missing():
        raise RuntimeError(f"emulator: {why}.")
    for name, content in files.items():
        (folder / f"{name}.tflite").write_bytes(content)
    np.save(folder / "images.npy", np.asarray(images, np.float32))
    plugins = ["-plugin", plugin] if plugin else []
    emulator = [shutil.which("qemu-aarch64"), "-cpu", CPUS[cpu].qemu, *plugins]
    program = [_tools() / "root/usr/bin/python3.11", HERE / "emulated.py"]
    done = subprocess.run(
        [*emulator, *program, folder / "images.npy", folder, *options],
        env={
            "QEMU_LD_PREFIX": str(_prefix(cpu)),
            "PYTHONPATH": str(_tools() / "site"),
            "PYTHONHASHSEED": "0",
            "PYTHONDONTWRITEBYTECODE": "1",
            "OPENBLAS_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise RuntimeError(f"On {cpu}, exit status {done.returncode}: {done.stderr[-1000:]}")
    return {name: np.load(folder / f"{name}.npy") for name in files}


def _tools():
    return Path(os.environ.get("KERAS_MIXER_TOOLS", "")).resolve() / "arm"


def _prefix(cpu):
    """A root folder with the emulated CPU's `/proc/cpuinfo`."""
    prefix = _tools() / "prefix" / cpu
    (prefix / "proc").mkdir(parents=True, exist_ok=True)
    for folder in ("lib", "usr"):
        with suppress(FileExistsError):
            (prefix / folder).symlink_to(_tools() / "root" / folder)
    info = (CPUINFO.format(core=i, features=BASE, part=CPUS[cpu].part) for i in range(2))
    with whole_file(prefix / "proc/cpuinfo", overwrite=True) as path:  # others may be reading it
        path.write_text("".join(info))
    return prefix


def _plugin():
    """The compiled plugin that counts instructions."""
    plugin = _tools() / "instructions.so"
    source = HERE / "instructions.c"
    if not plugin.exists() or plugin.stat().st_mtime < source.stat().st_mtime:
        with whole_file(plugin, overwrite=True) as path:
            subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", path, source], check=True)
    return plugin
