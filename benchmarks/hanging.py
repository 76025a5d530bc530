"""What comparisons that never end cost the batch that they are in.

    python -m benchmarks.hanging [--deadline S]

Batches of 64, some of which hang (endless loops, and calls in C that run for minutes), put directly
to the pool of worker processes, whose algebra is replaced by one that does as it is told: the
guards and the algebra would see most hanging answers coming. Then the same with as many other
processes as there are cores keeping them busy. Prints the seconds, and whether all the others were
judged as they are alone.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

BATCH = 64
COUNTS = (1, 12, 24, 36, 64)
#: `sitecustomize` is imported at the start of every Python process that finds it.
OBEDIENT = """
import time
from r1lab.verify import algebra

def equal(gold, answer):
    if answer.startswith("loop"):
        while True:
            pass
    if answer.startswith("tower"):
        9 ** 9 ** 9
    end = time.process_time() + 0.002
    while time.process_time() < end:
        pass
    return answer.startswith("right")

algebra.parses, algebra.equal = lambda gold: True, equal
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hanging")
    parser.add_argument("--deadline", type=float, default=5.0)
    deadline = parser.parse_args().deadline
    from r1lab.verify.batch import Job
    from r1lab.verify.pool import Pool

    fine = True
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "sitecustomize.py").write_text(OBEDIENT)
        os.environ["PYTHONPATH"] = folder
        pool = Pool(deadline, workers=2)
        pool.run([Job("7", "right")])
        print(f"deadline {deadline:g} s; of {BATCH} hang, seconds, others as alone")
        for busy in (0, os.cpu_count() or 1):
            spin = [sys.executable, "-S", "-c", "while True: pass"]
            others = [subprocess.Popen(spin) for _ in range(busy)]
            try:
                for count in COUNTS:
                    jobs = [Job("7", f"{('loop', 'tower')[n % 2]} {n}") for n in range(count)]
                    told = ["right", "wrong"] * BATCH
                    jobs += [Job("7", f"{told[n]} {n}") for n in range(count, BATCH)]
                    random.Random(count).shuffle(jobs)
                    start = time.perf_counter()
                    outcomes = pool.run(jobs)
                    seconds = time.perf_counter() - start
                    alone = all(
                        outcome.failure == "timeout"
                        if (job.answer or "").startswith(("loop", "tower"))
                        else outcome.equal == (job.answer or "").startswith("right")
                        for job, outcome in zip(jobs, outcomes, strict=True)
                    )
                    fine &= alone
                    line = f"{count:4}{seconds:8.2f}  {alone}  beside {busy} busy processes"
                    print(line, flush=True)
            finally:
                for other in others:
                    other.kill()
                    other.wait()
        pool.close()
    return 0 if fine else 1


if __name__ == "__main__":
    sys.exit(main())
