"""Which accelerators this machine has, whatever is installed to use them."""

import os
from pathlib import Path

GOOGLE = "0x1ae0"
# PCI device -> chip, as JAX tells them apart (jax/_src/hardware_utils.py).
TPUS = {
    "0x0027": "TPU v2 or v3",
    "0x005e": "TPU v4",
    "0x0062": "TPU v5p",
    "0x0063": "TPU v5e",
    "0x006f": "TPU v6e",
    "0x0076": "TPU7x",
}


def tpu_chips(devices="/sys/bus/pci/devices"):
    """Names of the TPU chips in this machine, one each."""
    found = []
    for device in sorted(Path(devices).glob("*")):
        try:
            vendor, number = [(device / key).read_text().strip() for key in ("vendor", "device")]
        except OSError:
            continue
        if vendor == GOOGLE and number in TPUS:
            found.append(TPUS[number])
    return found


def gpus(driver="/proc/driver/nvidia/gpus"):
    """Names of the NVIDIA GPUs that this machine's driver serves, one each."""
    found = []
    for file in sorted(Path(driver).glob("*/information")):
        lines = dict(line.partition(":")[::2] for line in file.read_text().splitlines())
        found.append(lines.get("Model", "NVIDIA GPU").strip())
    return found


def tpu_address():
    """The TPU that the environment names, for a machine that reaches one over the network."""
    return os.environ.get("TPU_NAME") or os.environ.get("COLAB_TPU_ADDR")
