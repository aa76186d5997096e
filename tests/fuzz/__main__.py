"""Changes good inputs at random and looks whether anything but an answer or an error comes out.

    python -m tests.fuzz --seconds 60
    python -m tests.fuzz --count 20000 --seed 0 --kind tflite

The same seed gives the same inputs. Inputs that are at fault are kept in `fuzz_faults`.
"""

import argparse
import os
import sys
import tempfile
import time
import traceback
from collections import Counter
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np

from keras_mixer.cli.errors import is_mistake
from tests.fuzz import workers
from tests.fuzz.kinds import KINDS

BATCH = 100  # inputs of one kind in a row


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, help="how long to run")
    parser.add_argument("--count", type=int, help="how many inputs to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", action="append", choices=KINDS, help="may be repeated")
    parser.add_argument("--keep", type=Path, default=Path("fuzz_faults"))
    given = parser.parse_args()
    if not (given.seconds or given.count):
        parser.error("--seconds or --count is needed")
    kinds = given.kind or [*KINDS]
    counts = {kind: Counter() for kind in kinds}
    done, faults, batch = 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        seeds = {kind: seeds_of(kind, folder / f"seeds_{kind}") for kind in kinds}

        goods = {kind: folder / f"good_{kind}{KINDS[kind].suffix}" for kind in kinds}
        for kind, good in goods.items():
            good.write_bytes(seeds[kind][0])
        begin = time.monotonic()

        def over():
            late = given.seconds and time.monotonic() - begin > given.seconds
            return late or (given.count and done >= given.count)

        while not over():
            for kind in kinds:
                if over():
                    break
                size = BATCH if not given.count else min(BATCH, given.count - done)
                inputs = made(kind, seeds[kind], given.seed, batch, size)
                for label, outcome, words in workers.run(
                    inputs, KINDS[kind].use, is_mistake, folder / "used", goods[kind]
                ):
                    counts[kind][outcome] += 1
                    done += 1
                    if outcome in workers.FAULTS:
                        faults += 1
                        keep(given.keep, kind, inputs, label, outcome, words, batch)
                    if given.seconds and over():
                        break
            batch += 1
    print(table(counts))
    print(f"{done:,} inputs in {time.monotonic() - begin:.0f} s, {faults} faults")
    sys.exit(bool(faults))


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


def made(kind, seeds, seed, batch, size):
    """A function for `workers.run`."""

    def inputs(start):
        for i in range(start, size):
            random = np.random.default_rng((seed, [*KINDS].index(kind), batch, i))
            content = KINDS[kind].mutate(random, seeds[random.integers(len(seeds))])
            yield i, (f"input{KINDS[kind].suffix}", content)

    return inputs


def keep(folder, kind, inputs, label, outcome, words, batch):
    folder.mkdir(exist_ok=True)
    _, (_, content) = next(inputs(label))
    stem = f"{kind}_{outcome}_{batch}_{label}"
    (folder / f"{stem}{KINDS[kind].suffix}").write_bytes(content)
    (folder / f"{stem}.txt").write_text(words)
    print(f"{stem}: {words.strip().splitlines()[-1] if words else ''}"[:200], flush=True)


def table(counts):
    lines = [f"{'kind':12}" + "".join(f"{outcome:>11}" for outcome in workers.OUTCOMES)]
    total = sum(counts.values(), Counter())
    for kind, found in (*counts.items(), ("all", total)):
        lines.append(f"{kind:12}" + "".join(f"{found[o]:11,}" for o in workers.OUTCOMES))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
