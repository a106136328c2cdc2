"""Times Tidegate on the workloads of docs/performance.md, each beside its floor in the same minute.

usage: python3 benches/compare.py [--rounds N] [--slow-disk] [--json FILE] [--tidegate FILE] [WORKLOAD...]

Workloads: version one chain wide ml rerun check plan events growth (default: all). With --slow-disk every call
that forces bytes to disk takes 2 ms more. `cargo build --release` first. The machine is never quiet enough:
every ratio is the median over pairs, and a figure that misses its aim is to be measured again.
"""

import argparse
import contextlib
import os
import pathlib
import shutil
import tempfile

import workloads


def main():
    names = {workload.__name__: workload for workload in workloads.ALL}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", nargs="*", choices=[*names, []], help="default: all that have a meaning")
    parser.add_argument("--rounds", type=int, default=5, help="pairs of a long workload; short ones take more")
    parser.add_argument("--slow-disk", action="store_true", help="2 ms more for every fsync")
    parser.add_argument("--json", type=pathlib.Path, help="write the rows to this file, too")
    parser.add_argument("--tidegate", type=pathlib.Path, default="target/release/tidegate")
    given = parser.parse_args()
    if not given.tidegate.exists():
        raise SystemExit(f"{given.tidegate} does not exist: cargo build --release")
    chosen = [names[name] for name in given.workload]
    chosen = chosen or (workloads.ON_A_SLOW_DISK if given.slow_disk else workloads.ALL)
    with contextlib.suppress(PermissionError):
        # Both sides alike go before what else the machine does, where that is allowed.
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(5))
    with tempfile.TemporaryDirectory() as base:
        # As installed: what a linker wrote piece by piece lies scattered in memory, which costs each start 2 ms.
        tidegate = pathlib.Path(base) / "tidegate"
        shutil.copy(given.tidegate, tidegate)
        bench = workloads.Bench(tidegate, pathlib.Path(base), given.rounds, given.slow_disk)
        workloads.show((row for workload in chosen for row in workload(bench)), given.json)


if __name__ == "__main__":
    main()
