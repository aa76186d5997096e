"""Timing for all benchmarks: interleaved runs, medians, and the name of the machine."""

import csv
import os
import platform
import re
from pathlib import Path
from statistics import median
from time import perf_counter

RESULTS = Path(__file__).with_name("results")


def interleaved(functions, runs, warmup=3, clock=perf_counter):
    """Median seconds of each function.

    Functions are called in turn, so that a change of the machine's speed affects all of them.

    Args:
        functions: Name -> function without arguments.
        runs: Number of timed calls of each function.
        warmup: Number of calls before that.
        clock: `time.perf_counter`, or `time.process_time` for the CPU time of all cores, which
            other processes affect less.
    """
    seconds = {name: [] for name in functions}
    for run in range(warmup + runs):
        for name, function in functions.items():
            start = clock()
            function()
            if run >= warmup:
                seconds[name].append(clock() - start)
    return {name: median(times) for name, times in seconds.items()}


def machine():
    """The processor's name and the number of cores that this process may use."""
    info = Path("/proc/cpuinfo")
    name = re.search(r"^model name\s*: (.*)$", info.read_text(), re.M) if info.exists() else None
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{name[1] if name else platform.processor() or platform.machine()}, {cores} cores"


def write_csv(name, rows):
    """Writes rows, dicts with the same keys, to `results/<name>.csv`, and prints the path."""
    path = RESULTS / f"{name}.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
