"""Versions of a file's ops, by which an older runtime refuses what it would compute wrongly."""

from keras_mixer.tflite._litert import schema
from keras_mixer.tflite.file.content import packed, unpacked
from keras_mixer.tflite.file.graphs import graphs_in
from keras_mixer.tflite.file.runtimes import OLDEST, faults_of, needed_by

ENTRY, SIZE = "min_runtime_version", 16  # TensorFlow's name, and its number of bytes


def with_versions(content, entries, who):
    """A quantised file that older runtimes refuse where they would compute it wrongly.

    The quantiser leaves versions of ops and the entry `min_runtime_version` as they were in the
    float file. Both are raised as `FAULTS` says, the entry unless no TensorFlow Lite takes the
    file. Runtimes that take it compute the same.

    Args:
        content: The file's content.
        entries: What the file is to hold besides, name -> bytes; see `packed`.
        who: Who asks; errors begin with it.
    """
    graphs = graphs_in(content)
    gates = dict(sorted(fault.gate for fault in faults_of(graphs) if fault.gate))
    for graph in graphs:
        graph.ops = [(op, max(version, gates.get(op, 1)), i) for op, version, i in graph.ops]
    model, numbers = unpacked(content, who), vars(schema().BuiltinOperator)
    for op, version in gates.items():
        for code in model.operatorCodes:
            if max(code.builtinCode, code.deprecatedBuiltinCode) == numbers[op]:
                code.version = max(code.version, version)
    oldest = needed_by(graphs).tensorflow
    if oldest not in (None, OLDEST["tensorflow"]):  # the float file's own entry says as much
        entries = entries | {ENTRY: f"{oldest}.0".encode().ljust(SIZE, b"\0")}
    return packed(model, entries, len(content), who)
