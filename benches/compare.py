"""Times Tidegate on the workloads of docs/performance.md, each beside its floor in the same run.

usage: python3 benches/compare.py [path of tidegate]     (default: target/release/tidegate)

W0 --version · W1 one job, one step · W2 a chain of 100 jobs · W3 1,000 independent jobs, two at once ·
W5 the same 1,000 jobs again, from the cache · check of 100 and 1,000 files · plan of 10,000 instances.
The floor of W2 and W3 is the same shell started by xargs. Prints one line a workload: median seconds,
the floor's, their ratio, and the largest resident set of one process in MB.
"""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

TIDEGATE = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "target/release/tidegate")
SHELL = ["bash", "--noprofile", "--norc", "-eo", "pipefail"]
RUNS = int(os.environ.get("BENCH_RUNS", "5"))


def timed(command, folder, before=None):
    """Returns the median of RUNS wall times in seconds, and the peak memory of the command in MB."""
    times, peak = [], 0
    for _ in range(RUNS):
        if before:
            before()
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        _, status, usage = os.wait4(process.pid, 0)
        times.append(time.perf_counter() - start)
        peak = max(peak, usage.ru_maxrss / 1024)
        if status != 0:
            raise SystemExit(f"{command} ended with {os.waitstatus_to_exitcode(status)}: {process.stderr.read().decode()}")
    return statistics.median(times), peak


def project(folder, text):
    """Makes a committed project with one workflow."""
    path = folder / ".ml/workflows/bench.yml"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    for command in (["init", "-q"], ["add", "-A"], ["-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", "bench"]):
        subprocess.run(["git", *command], cwd=folder, check=True)


def report(name, seconds, floor=None, peak=0.0):
    beside = f"{floor:8.3f} s   × {seconds / floor:5.2f}" if floor else " " * 20
    print(f"{name:34} {seconds:8.4f} s   {beside}   {peak:6.1f} MB", flush=True)


JOB = "  j{i}:\n    {needs}steps: [{{ shell: bash, run: /bin/true }}]\n"


def jobs(count, chain=False, extra=""):
    lines = ["on: workflow_dispatch\njobs:\n"]
    for i in range(count):
        needs = f"needs: j{i - 1}\n    " if chain and i else ""
        lines.append(JOB.format(i=i, needs=needs + extra))
    return "".join(lines)


def main():
    if not os.path.exists(TIDEGATE):
        raise SystemExit(f"{TIDEGATE} does not exist: cargo build --release")
    print(f"{'workload':34} {'tidegate':>10}   {'floor':>10}   {'ratio':>7}   {'memory':>9}")
    with tempfile.TemporaryDirectory() as base:
        base = pathlib.Path(base)
        script = base / "true.sh"
        script.write_text("/bin/true")
        report("W0 --version", *timed([TIDEGATE, "--version"], base)[:1])
        floor = lambda n, p: timed(["sh", "-c", f"seq {n} | xargs -P{p} -I_ {' '.join(SHELL)} {script}"], base)[0]
        for name, count, chain, parallel in (("W1 one step", 1, False, 1), ("W2 chain of 100", 100, True, 1), ("W3 1,000 jobs", 1000, False, 2)):
            folder = base / name.replace(" ", "-").replace(",", "")
            folder.mkdir()
            project(folder, jobs(count, chain))
            wipe = lambda folder=folder: shutil.rmtree(folder / ".tidegate", ignore_errors=True)
            seconds, peak = timed([TIDEGATE, "run", "--jobs", str(parallel)], folder, wipe)
            report(name, seconds, floor(count, parallel), peak)
        folder = base / "W5"
        folder.mkdir()
        project(folder, jobs(1000, extra="cache: true\n    "))
        subprocess.run([TIDEGATE, "run"], cwd=folder, stdout=subprocess.DEVNULL, check=True)
        seconds, peak = timed([TIDEGATE, "run"], folder)
        ninja = None
        if shutil.which("ninja"):
            (folder / "build.ninja").write_text(
                "rule t\n  command = touch $out\n" + "".join(f"build o{i}: t\n" for i in range(1000)))
            subprocess.run(["ninja"], cwd=folder, stdout=subprocess.DEVNULL, check=True)
            ninja = timed(["ninja"], folder)[0]
            for i in range(1000):
                (folder / f"o{i}").unlink()
        report("W5 1,000 cached jobs (ninja)", seconds, ninja, peak)
        for count in (100, 1000):
            folder = base / f"check{count}"
            (folder / ".ml/workflows").mkdir(parents=True)
            for i in range(count):
                (folder / f".ml/workflows/w{i}.yml").write_text(jobs(40))
            seconds, peak = timed([TIDEGATE, "check"], folder)
            report(f"check of {count} files of 40 jobs", seconds, None, peak)
        folder = base / "plan"
        folder.mkdir()
        project(folder, "on: workflow_dispatch\njobs:\n  sweep:\n    strategy:\n      matrix:\n"
                f"        a: {list(range(100))}\n        b: {list(range(100))}\n"
                "    steps: [{ run: 'echo ${{ matrix.a }} ${{ matrix.b }}' }]\n")
        seconds, peak = timed([TIDEGATE, "plan", "--format", "json"], folder)
        report("plan of 10,000 instances", seconds, None, peak)


if __name__ == "__main__":
    main()
