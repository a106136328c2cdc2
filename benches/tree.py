"""Times what a big tree costs each job, beside copying it and beside a checkout of git's.

usage: python3 benches/tree.py [--files N] [--rounds N] [--tidegate FILE]

A repository of N files (default 10,000) of 100 B to 8 KiB in 200 folders; a workflow whose jobs are one after
another, so that they share one work folder. `first` is a run of one job with a fresh store, `next` what each
further job of a run adds, `dirtied` the same after jobs that change ten files and add ten. The floors: `cp -r`,
`cp -r --reflink=always` where the file system can, and `git worktree add`. `cargo build --release` first.
"""

import argparse
import pathlib
import random
import shutil
import statistics
import subprocess
import tempfile
import time

CHAIN = 9


def make(root, files):
    """Makes a repository with so many files."""
    rng = random.Random(7)
    for n in range(files):
        folder = root / f"d{n % 200:03}" / f"e{n % 3}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"f{n}.txt").write_bytes(rng.randbytes(rng.randint(100, 8192)))
    workflows = root / ".ml/workflows"
    workflows.mkdir(parents=True)
    job = "  j{n}: {{ {needs}steps: [{{ run: {run!r} }}] }}\n"
    spoil = "for i in 1 2 3 4 5 6 7 8 9 10; do echo x > d00$((i % 10))/e0/new$i; done; for f in d00[0-9]/e0/f*0.txt; do echo x > $f; done"
    for name, count, run in [("one", 1, ":"), ("chain", 1 + CHAIN, ":"), ("dirtied", 1 + CHAIN, spoil)]:
        jobs = "".join(
            job.format(n=n, needs=f"needs: j{n - 1}, " if n else "", run=run) for n in range(count)
        )
        (workflows / f"{name}.yml").write_text(f"on: workflow_dispatch\njobs:\n{jobs}")
    who = ["-c", "user.name=b", "-c", "user.email=b@example.com"]
    for args in [["init", "-q", "."], ["config", "gc.auto", "0"], ["add", "-A"], [*who, "commit", "-q", "-m", "x"]]:
        subprocess.run(["git", *args], cwd=root, check=True)


def timed(args, cwd):
    """Runs a command and returns its seconds; `None` if it fails."""
    started = time.perf_counter()
    done = subprocess.run(args, cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - started if done.returncode == 0 else None


def middle(times):
    """The median in milliseconds, as text."""
    good = [t for t in times if t is not None]
    return f"{statistics.median(good) * 1000:8.0f} ms" if good else "cannot"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tidegate", type=pathlib.Path, default="target/release/tidegate")
    given = parser.parse_args()
    tidegate = str(given.tidegate.absolute())
    rows = {}

    def note(name, seconds):
        rows.setdefault(name, []).append(seconds)

    with tempfile.TemporaryDirectory() as base:
        root, copy = pathlib.Path(base) / "tree", pathlib.Path(base) / "copy"
        root.mkdir()
        make(root, given.files)

        def run(name):
            return timed([tidegate, "run", f".ml/workflows/{name}.yml"], root)

        for _ in range(given.rounds):
            for name, args in [("cp -r", []), ("cp -r --reflink=always", ["--reflink=always"])]:
                note(name, timed(["cp", "-r", *args, str(root), str(copy)], base))
                shutil.rmtree(copy, ignore_errors=True)
            note("git worktree add", timed(["git", "worktree", "add", "-f", "--detach", str(copy)], root))
            shutil.rmtree(copy, ignore_errors=True)
            subprocess.run(["git", "worktree", "prune"], cwd=root, check=True)
            shutil.rmtree(root / ".tidegate", ignore_errors=True)
            note("first run of a fresh store", run("one"))
            again = run("one")
            note("the same run again", again)
            chain, dirtied = run("chain"), run("dirtied")
            note("each next job", chain and again and (chain - again) / CHAIN)
            note("each next job, after one that changed 20 files", dirtied and again and (dirtied - again) / CHAIN)
    for name, times in rows.items():
        print(f"{name:50} {middle(times):>12}", flush=True)


if __name__ == "__main__":
    main()
