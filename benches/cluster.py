"""Times runs on a Kubernetes cluster beside bare Jobs of the same pod shape, in turns, on the same cluster.

usage: python3 benches/cluster.py [--rounds N] [--json FILE] [--tidegate FILE] [WORKLOAD...]

Workloads: one chain wide big (default: all); --jobs says how many jobs `wide` has. KUBECONFIG names the cluster (`tests/cluster/cluster
up --image target/tidegate-image.tar` starts one), TIDEGATE_KUBECTL a kubectl. The node has to be this machine: a step tells the time
by /proc/uptime, which is exact to 10 ms. `cargo build --release` first.

The bare Job has a native sidecar and one container, as a job of Tidegate's has; both print the time and end.
"""

import argparse
import os
import pathlib
import statistics
import subprocess
import tempfile
import threading
import time

from api import Api
from workloads import Row, commit, show

IMAGE = "docker.io/test/busybox:1"
TELL = "cut -d' ' -f1 /proc/uptime"
NAMESPACE = f"tidegate-bench-{os.getpid()}"


def now():
    """Seconds since the machine started, as /proc/uptime has them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def bare_job(name):
    """A Job of the same shape: a sidecar that is told to go, and a container that tells the time."""
    plain = {"image": IMAGE, "imagePullPolicy": "IfNotPresent"}
    term = "trap 'exit 0' TERM; sleep 1000 & wait"
    return {
        "apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": name, "labels": {"bench": "bare"}},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {"bench": "bare"}}, "spec": {
            "restartPolicy": "Never", "automountServiceAccountToken": False, "enableServiceLinks": False,
            "initContainers": [{**plain, "name": "agent", "restartPolicy": "Always", "command": ["sh", "-c", term]}],
            "containers": [{**plain, "name": "steps", "command": ["sh", "-c", TELL]}],
        }}},
    }


class Bench:
    """The cluster, and a folder for projects."""

    def __init__(self, tidegate, base, rounds, count):
        self.tidegate, self.base, self.rounds, self.count = tidegate, base, rounds, count
        self.api = Api(NAMESPACE)
        self.made = 0
        self.passed = 0  # When the last run said that it has passed.

    # --- bare Jobs

    def bare(self, names):
        """Makes Jobs at once; returns when each was asked for, told the time and was seen complete; removes them."""
        ended, all_ended = {}, threading.Event()

        def seen(kind, job):
            name = job["metadata"]["name"]
            done = any(c["type"] == "Complete" and c["status"] == "True" for c in job["status"].get("conditions", []))
            if name in names and done and name not in ended:
                ended[name] = now()
                if len(ended) == len(names):
                    all_ended.set()

        with self.api.watching("/apis/batch/v1", "jobs", "bench=bare", seen):
            asked = {}
            for name in names:
                asked[name] = now()
                self.api.call("POST", "/apis/batch/v1", "jobs", bare_job(name))
            if not all_ended.wait(1200):
                raise SystemExit("the bare Jobs did not end")
        told = {}
        if len(names) <= 10:
            for name in names:
                pods = self.api.call("GET", "/api/v1", f"pods?labelSelector=job-name%3D{name}")
                pod = pods["items"][0]["metadata"]["name"]
                told[name] = float(self.api.text("/api/v1", f"pods/{pod}/log?container=steps"))
        for name in names:
            self.api.call("DELETE", "/apis/batch/v1", f"jobs/{name}?propagationPolicy=Background")
        self.settle("bench=bare")
        return asked, told, ended

    def settle(self, selector="tidegate.dev/store"):
        """Waits until no pod is left: the next one shall find a quiet node."""
        until = time.time() + 600
        while self.api.call("GET", "/api/v1", f"pods?limit=1&labelSelector={selector.replace('=', '%3D')}")["items"]:
            if time.time() > until:
                raise SystemExit("pods stay")
            time.sleep(0.1)

    # --- Tidegate

    def project(self, name, workflow):
        return commit(self.base / name, {".ml/workflows/w.yml": workflow})

    def run(self, folder, *more):
        """Runs the project's workflow; returns seconds at its start and at the program's end, and its peak memory in MB."""
        words = [self.tidegate, "run", "--on", "kubernetes", "--namespace", NAMESPACE, *more]
        began = now()
        process = subprocess.Popen(words, cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.STDOUT, text=True)
        out = ""
        for line in process.stdout:
            out += line
            if line.startswith("passed in"):
                self.passed = now()
        _, status, usage = os.wait4(process.pid, 0)
        ended = now()
        if status:
            raise SystemExit(f"tidegate ended with {os.waitstatus_to_exitcode(status)}: {out[-2000:]}")
        return began, ended, usage.ru_maxrss / 1000

    def told(self, folder):
        """What the steps of the last run said the time was, by job."""
        out = subprocess.run([self.tidegate, "runs", "logs"], cwd=folder, check=True, capture_output=True, text=True).stdout
        times = {}
        for line in out.splitlines():
            job, _, text = line.partition("|")
            text = (text or job).split()
            if text and text[-1].replace(".", "", 1).isdigit():
                times[job.split()[0]] = float(text[-1])
        return times


def seconds(value):
    return f"{value:.2f} s"


def head():
    return f"on: workflow_dispatch\ndefaults: {{ container: '{IMAGE}', run: {{ shell: sh }} }}\njobs:\n"


def one(bench):
    """One job: how long to the first output, and from the last to the end."""
    folder = bench.project("one", head() + f"  one:\n    steps: [{{ run: \"{TELL}\" }}]\n")
    bench.run(folder)  # Puts the hub up.
    bench.settle()
    first, last, left, first_bare, last_bare = [], [], [], [], []
    for turn in range(bench.rounds):
        def ours():
            began, ended, _ = bench.run(folder)
            told = next(iter(bench.told(folder).values()))
            first.append(told - began), last.append(bench.passed - told), left.append(ended - told)
            bench.settle()

        def bare():
            name = f"bare-{turn}"
            asked, told, ended = bench.bare([name])
            first_bare.append(told[name] - asked[name]), last_bare.append(ended[name] - told[name])

        for side in (ours, bare) if turn % 2 else (bare, ours):
            side()
    a, b = statistics.median(first), statistics.median(first_bare)
    more = statistics.median(x - y for x, y in zip(first, first_bare))
    yield Row("start to first output", seconds(a), f"bare Job {b:.2f} s", more, "s more", 0.3)
    a, b = statistics.median(last), statistics.median(last_bare)
    yield Row("last output to the run's end", seconds(a), f"bare Job {b:.2f} s", a, "s", 0.2)
    # A job shorter than a second: its node says only then which image it ran, and the program waits for that word.
    c = statistics.median(left)
    yield Row("last output to the program's exit", seconds(c), f"bare Job {b:.2f} s", c, "s", b)
    folder = bench.project("three", head() + f"  one:\n    steps: [{{ run: \"sleep 3; {TELL}\" }}]\n")
    left = []
    for _ in range(max(1, bench.rounds // 2)):
        _, ended, _ = bench.run(folder)
        left.append(ended - next(iter(bench.told(folder).values())))
        bench.settle()
    c = statistics.median(left)
    yield Row("... of a step of 3 s", seconds(c), f"bare Job {b:.2f} s", c, "s", 0.2)


def chain(bench):
    """Ten jobs, each after the one before: from a job's last output to the creation of the next one's Job."""
    names = [f"j{i}" for i in range(10)]
    text = head()
    for before, name in zip([None, *names], names):
        needs = f"needs: {before}, " if before else ""
        text += f"  {name}: {{ {needs}steps: [{{ run: \"{TELL}\" }}] }}\n"
    folder = bench.project("chain", text)
    gaps, ours, gaps_bare, theirs = [], [], [], []
    for _ in range(max(1, bench.rounds // 4)):
        created = []

        def seen(kind, job):
            if kind == "ADDED":
                created.append((now(), job["metadata"]["name"]))

        with bench.api.watching("/apis/batch/v1", "jobs", "tidegate.dev/store", seen):
            began, ended, _ = bench.run(folder)
        told = sorted(bench.told(folder).values())
        times = [at for at, _ in created]
        if len(told) != 10 or len(times) != 10:
            raise SystemExit(f"{len(told)} steps, {len(times)} Jobs")
        gaps += [after - before for before, after in zip(told, times[1:])]
        ours.append(ended - began)
        bench.settle()
        # Each from its making to `Complete`: what removing it takes does not count.
        took = 0
        for i in range(10):
            name = f"bare-{i}"
            asked, told, ended = bench.bare([name])
            took += ended[name] - asked[name]
            gaps_bare.append(ended[name] - told[name])
        theirs.append(took)
    gap = statistics.median(gaps)
    yield Row("job's end to the next one's Job", f"{gap * 1000:.0f} ms (to {max(gaps) * 1000:.0f})",
              f"script {statistics.median(gaps_bare):.2f} s", gap * 1000, "ms", 100)
    a, b = statistics.median(ours), statistics.median(theirs)
    yield Row("chain of 10", seconds(a), f"bare Jobs {b:.1f} s", a / b, "×")


def wide(bench):
    """Independent jobs beside as many bare Jobs that are made at once."""
    folder = bench.project("wide", head() + "".join(f"  j{i}: {{ steps: [{{ run: \"{TELL}\" }}] }}\n" for i in range(bench.count)))
    bench.run(folder, "--job", "j0")
    bench.settle()
    began, ended, memory = bench.run(folder)
    bench.settle()
    # From the first one's making to the last `Complete`: what removing them takes does not count.
    asked, _, all_ended = bench.bare([f"bare-{i}" for i in range(bench.count)])
    took = max(all_ended.values()) - min(asked.values())
    ours = ended - began
    yield Row(f"{bench.count} jobs", f"{ours:.1f} s, {memory:.0f} MB", f"bare Jobs {took:.1f} s", ours / took, "×")


def big(bench):
    """A GiB from one job to the next: from the end of the program that wrote it to the start of the one that reads it."""
    def text(content):
        return (head() + f"  make:\n    produces: {{ big: big }}\n    steps: [{{ run: \"{content} of=big bs=1M count=1024 2>/dev/null; {TELL}\" }}]\n"
                "  use:\n    needs: make\n    consumes: { big: '${{ needs.make.artifacts.big }}' }\n"
                f"    steps: [{{ run: \"test $(stat -c %s big) = 1073741824 && {TELL}\" }}]\n")

    folder = bench.project("big", text("dd if=/dev/urandom"))
    small = bench.project("small", text("dd if=/dev/urandom").replace("count=1024", "count=1").replace("1073741824", "1048576"))
    times = []
    for project in (small, folder):
        bench.run(project)
        made, used = sorted(bench.told(project).values())
        times.append(used - made)
        bench.settle()
    alone, took = times
    moved = took - alone
    yield Row("1 GiB from job to job", seconds(took), f"1 MiB {alone:.2f} s", 1024 / moved, "MiB/s")


ALL = [one, chain, wide, big]


def main():
    names = {workload.__name__: workload for workload in ALL}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workload", nargs="*", choices=[*names, []], help="default: all")
    parser.add_argument("--rounds", type=int, default=10, help="pairs of `one`; a quarter of it for `chain`")
    parser.add_argument("--jobs", type=int, default=100, help="of `wide`")
    parser.add_argument("--json", type=pathlib.Path, help="write the rows to this file, too")
    parser.add_argument("--tidegate", type=pathlib.Path, default="target/release/tidegate")
    given = parser.parse_args()
    if not given.tidegate.exists():
        raise SystemExit(f"{given.tidegate} does not exist: cargo build --release")
    with tempfile.TemporaryDirectory() as base:
        bench = Bench(given.tidegate.resolve(), pathlib.Path(base), given.rounds, given.jobs)
        with bench.api.namespace():
            chosen = [names[name] for name in given.workload] or ALL
            show((row for workload in chosen for row in workload(bench)), given.json)


if __name__ == "__main__":
    main()
