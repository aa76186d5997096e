"""Which version of each op older runtimes have.

    .ci/tools/runtimes FOLDER all
    python -m benchmarks.runtimes FOLDER

Each runtime in FOLDER loads files without an op that name one version of an op, and refuses those
that it does not know. `keras_mixer/tflite/file/op_versions.csv`, which `inspect` reads, then has a
row for the newest version of each op, and for each that TensorFlow Lite 2.9 or LiteRT 1.0 does not
have, with the oldest version of each that does.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import flatbuffers

from keras_mixer.tflite._litert import schema
from keras_mixer.tflite.file.content import IDENTIFIER
from keras_mixer.tflite.file.runtimes import OLDEST, TABLE

NEWEST = 20  # more versions than any op has
# Runs in a runtime's own environment. Arguments: a folder of files named OP-VERSION.
LOADED = """
import json, pathlib, sys
try:
    from tflite_runtime.interpreter import Interpreter
except ImportError:
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow
        Interpreter = tensorflow.lite.Interpreter
found = []
for path in pathlib.Path(sys.argv[1]).iterdir():
    try:
        Interpreter(model_content=path.read_bytes())
    except ValueError:  # unknown
        continue
    found.append(path.name)
print(json.dumps(found))
"""


def probe(number, version):
    """A file that passes its input on, with one operator code that nothing uses."""
    model, graph, tensor = schema().ModelT(), schema().SubGraphT(), schema().TensorT()
    code = schema().OperatorCodeT()
    code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
    code.version = version
    tensor.name, tensor.shape = "x", [1]
    graph.tensors, graph.inputs, graph.outputs, graph.operators = [tensor], [0], [0], []
    model.version, model.buffers = 3, [schema().BufferT()]
    model.subgraphs, model.operatorCodes = [graph], [code]
    builder = flatbuffers.Builder(256)
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def ops():
    """Number of each builtin op -> its name."""
    names = vars(schema().BuiltinOperator).items()
    return {n: name for name, n in names if name[0] != "_" and name not in ("CUSTOM", "DELEGATE")}


def known(python, probes):
    """The `(op, version)`s that a runtime has.

    Args:
        python: The Python of its environment.
        probes: The folder of `probe`s.
    """
    run = subprocess.run(
        [python, "-I", "-c", LOADED, probes], capture_output=True, text=True, check=True
    )
    pairs = (name.rsplit("-", 1) for name in json.loads(run.stdout.splitlines()[-1]))
    return {(op, int(version)) for op, version in pairs}


def measured(environments):
    """The rows of the table.

    Args:
        environments: Runtime, `tensorflow` or `litert` -> version -> the Python that has it.
    """
    with TemporaryDirectory() as probes:
        for number, op in ops().items():
            for version in range(1, NEWEST):
                Path(probes, f"{op}-{version}").write_bytes(probe(number, version))
        found = {
            runtime: {version: known(python, probes) for version, python in pythons.items()}
            for runtime, pythons in environments.items()
        }
    every = set().union(*(had for versions in found.values() for had in versions.values()))
    every |= {(op, 1) for op in {*ops().values()} - {op for op, _ in every}}  # no runtime has them
    rows = []
    for op, version in sorted(every):
        oldest = {
            runtime: next((v for v, had in versions.items() if (op, version) in had), "")
            for runtime, versions in found.items()
        }
        if oldest != OLDEST or (op, version + 1) not in every:
            rows.append({"op": op, "version": version, **oldest})
    return rows


def _environments(folder):
    """The runtimes in a folder, the oldest first, and this environment's LiteRT."""
    from importlib.metadata import version

    found = {"tensorflow": {}, "litert": {}}
    paths = [path for path in folder.iterdir() if path.name.startswith(tuple(found))]
    for path in sorted(paths, key=lambda path: [*map(int, path.name.split("-")[1].split("."))]):
        runtime, full = path.name.split("-")
        # What was not tried between two versions has the later one's name: LiteRT 1.1.1 is the
        # first of 1.1 that can be imported.
        short = full if full == "1.1.1" else full.rsplit(".", 1)[0]
        found[runtime][short] = path / "bin/python"
    found["litert"][version("ai-edge-litert").rsplit(".", 1)[0]] = sys.executable
    return found


def main(folder):
    rows = measured(_environments(Path(folder)))
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(TABLE)


if __name__ == "__main__":
    main(*sys.argv[1:])
