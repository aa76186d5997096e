"""The estimated time of each operation, from a program that XLA has compiled for a TPU."""

import re
from collections import Counter, defaultdict
from itertools import groupby

CYCLES = re.compile(r'"estimated_cycles":"(\d+)"')
NAME = re.compile(r'op_name="([^"]*)"')
LOOP = re.compile(r" while\(.*\bcondition=%?([\w.\-]+), body=%?([\w.\-]+)")
BRANCH = re.compile(r" (?:call|conditional)\(.*?\), (.*)")
COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) .*\{$", re.M)
# JAX wraps the names of layers, as in jvp(block_0) and transpose(jvp(block_0)), and adds names
# between them, such as jit(step) and checkpoint.
WRITTEN_AROUND = re.compile(r"(?:transpose|jvp|vmap)\(|\)")
WRITTEN_BETWEEN = re.compile(r"jit\([^()]*\)")
NO_LAYERS = {"body", "checkpoint", "closed_call", "cond", "rematted_computation", "while"}
# A number that tells layers apart: block_12, stage1_block2, but not conv2d.
NUMBER = re.compile(r"\d+(?=/|_|$)")


def operations(text):
    """`(name, cycles)` of every operation that takes time, with loops counted.

    Args:
        text: The optimised HLO of a compiled program.
    """
    starts = [*COMPUTATION.finditer(text)]
    ends = [start.start() for start in starts[1:]] + [len(text)]
    bodies = {start[2]: text[start.end() : end] for start, end in zip(starts, ends, strict=True)}
    return [*_operations(next(start[2] for start in starts if start[1]), bodies, 1)]


def _operations(computation, bodies, times):
    for line in bodies[computation].splitlines():
        if cycles := CYCLES.search(line):
            name = NAME.search(line)
            yield (name[1] if name else ""), times * int(cycles[1])
        if loop := LOOP.search(line):
            yield from _operations(loop[2], bodies, times * _trips(bodies[loop[1]]))
        elif branch := BRANCH.search(line):
            for called in re.findall(r"%([\w.\-]+)", branch[1]):
                yield from _operations(called, bodies, times)


def _trips(condition):
    """Iterations of a loop: the constant in its condition, or 1 if there is not exactly one."""
    bounds = re.findall(r" constant\((\d+)\)", condition)
    return int(bounds[0]) if len(bounds) == 1 else 1


def by_layer(operations, train):
    """Sums operations of one kind over layers whose names differ only in numbers, costliest first.

    Args:
        operations: Result of `operations`.
        train: Whether it is a train step.

    Returns:
        A list of dicts: `layer`, `phase` and `operation`, see `place`, with a `*` for the number of
        several layers; `times`, the number of operations; `cycles`, their sum.
    """
    cycles, times, layers = Counter(), Counter(), defaultdict(set)
    for name, cost in operations:
        layer, *rest = place(name, train)
        kind = (NUMBER.sub("*", layer), *rest)
        cycles[kind] += cost
        times[kind] += 1
        layers[kind].add(layer)
    return [
        {
            "layer": kind[0] if len(layers[kind]) > 1 else min(layers[kind]),
            "phase": kind[1],
            "operation": kind[2],
            "times": times[kind],
            "cycles": cost,
        }
        for kind, cost in cycles.most_common()
    ]


def place(name, train):
    """`(layer, phase, operation)` of an operation's name.

    `jit(step)/transpose(jvp(block_3))/channel_mlp/expand/dot_general` is
    `("block_3/channel_mlp/expand", "backward", "dot_general")`. The phase is `"forward"`;
    `"backward"`; `"recomputed"`, for the forward pass that rematerialisation repeats; or
    `"update"`, of the weights.
    """
    if "rematted_computation" in name:
        phase = "recomputed"
    elif "transpose(" in name:
        phase = "backward"
    else:
        phase = "forward" if "jvp(" in name or not train else "update"
    parts = WRITTEN_AROUND.sub("", WRITTEN_BETWEEN.sub("", name)).split("/")
    parts = [part for part in parts if part and part not in NO_LAYERS] or [""]
    *layer, operation = [part for part, _ in groupby(parts)]  # checkpoint repeats the layer's name
    return "/".join(layer), phase, operation
