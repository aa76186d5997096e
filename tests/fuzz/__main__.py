"""Changes good inputs at random and looks whether anything but an answer or an error comes out.

    python -m tests.fuzz --seconds 60
    python -m tests.fuzz --count 20000 --seed 0 --kind tflite

The same seed gives the same inputs. Inputs that are at fault are kept in `fuzz_faults`.
"""

import argparse
import contextlib
import itertools
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import suppress
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np

from keras_mixer.cli.errors import is_mistake
from tests.fuzz import workers
from tests.fuzz.kinds import KINDS

BATCH = 20  # inputs of one kind in a row: a minute has several rows of each kind


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="how long to run")
    parser.add_argument("--count", type=int, default=sys.maxsize, help="how many inputs to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=KINDS, help="may be repeated")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_faults"))
    given = parser.parse_args()
    if (given.seconds, given.count) == (float("inf"), sys.maxsize):
        parser.error("--seconds or --count is needed")
    kinds = given.kind or [*KINDS]
    counts = {kind: Counter() for kind in kinds}
    with tempfile.TemporaryDirectory() as folder:
        seeds = {kind: seeds_of(kind, Path(folder) / f"seeds_{kind}") for kind in kinds}
        begin = time.monotonic()
        with suppress(KeyboardInterrupt):  # what is known by then is printed
            outcomes = tried(kinds, seeds, given.seed, Path(folder))
            for kind, outcome, fault in itertools.islice(outcomes, given.count):
                counts[kind][outcome] += 1
                if fault:
                    keep(given.keep, kind, outcome, *fault)
                if time.monotonic() - begin > given.seconds:
                    break
            outcomes.close()
    total = sum(counts.values(), Counter())
    print(table(counts | {"all": total}))
    print(f"{total.total():,} inputs in {time.monotonic() - begin:.0f} s")
    sys.exit(any(total[outcome] for outcome in workers.FAULTS))


def tried(kinds, seeds, seed, folder):
    """Yields kind, outcome and, of a fault, where it was, the input and words, without end."""
    for batch in itertools.count():
        for kind in kinds:
            good = folder / f"good_{kind}{KINDS[kind].suffix}"
            good.write_bytes(seeds[kind][0])
            inputs = made(kind, seeds[kind], seed, batch)
            runs = workers.run(inputs, KINDS[kind].use, is_mistake, folder / "used", good)
            with contextlib.closing(runs):
                for label, outcome, words in runs:
                    fault = None
                    if outcome in workers.FAULTS:
                        _, (_, content) = next(inputs(label))
                        fault = f"{batch}_{label}", content, words
                    yield kind, outcome, fault


def seeds_of(kind, folder):
    """Good inputs, made in another process, so that this one stays fit to be forked."""
    child = os.fork()
    if not child:
        code = 1
        try:
            sys.stdout.flush()
            folder.mkdir()
            for i, content in enumerate(KINDS[kind].seeds()):
                (folder / f"{i:03}").write_bytes(content)
            code = 0
        except Exception:
            traceback.print_exc()
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"The good inputs of kind {kind} could not be made.")
    return [path.read_bytes() for path in sorted(folder.iterdir())]


def made(kind, seeds, seed, batch):
    """A function for `workers.run`."""

    def inputs(start):
        for i in range(start, BATCH):
            random = np.random.default_rng((seed, [*KINDS].index(kind), batch, i))
            content = KINDS[kind].mutate(random, seeds[random.integers(len(seeds))])
            yield i, (f"input{KINDS[kind].suffix}", content)

    return inputs


def keep(folder, kind, outcome, place, content, words):
    """Keeps the input of a fault, and what was said of it, in a folder."""
    folder.mkdir(exist_ok=True)
    stem = f"{kind}_{outcome}_{place}"
    (folder / f"{stem}{KINDS[kind].suffix}").write_bytes(content)
    (folder / f"{stem}.txt").write_text(words)
    print(f"{stem}: {words.strip().splitlines()[-1] if words else ''}"[:200], flush=True)


def table(counts):
    lines = [f"{'kind':12}" + "".join(f"{outcome:>11}" for outcome in workers.OUTCOMES)]
    for kind, found in counts.items():
        lines.append(f"{kind:12}" + "".join(f"{found[o]:11,}" for o in workers.OUTCOMES))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
