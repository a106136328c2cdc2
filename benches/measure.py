"""Times two commands against each other and takes the memory of a process tree.

Two programs that share a noisy machine are compared in turns (A B, B A, ...): the figure is the median of the
ratios of neighbours, not the ratio of medians.
"""

import os
import pathlib
import statistics
import subprocess
import threading
import time
from dataclasses import dataclass, field


@dataclass
class Command:
    """What is timed: words, a folder, variables added to the environment, something to do before each time."""

    words: list
    folder: pathlib.Path
    env: dict = field(default_factory=dict)
    before: object = None
    good: tuple = (0,)

    def run(self):
        """Runs it once; returns seconds of wall time from before the start to after the end."""
        if self.before:
            self.before()
        with open(os.devnull, "w") as null, open(self.folder / ".bench-errors", "w+") as errors:
            start = time.perf_counter()
            process = subprocess.Popen(
                [str(word) for word in self.words], cwd=self.folder, env={**os.environ, **self.env},
                stdin=subprocess.DEVNULL, stdout=null, stderr=errors)
            code = process.wait()
            seconds = time.perf_counter() - start
            if code not in self.good:
                errors.seek(0)
                raise SystemExit(f"{' '.join(map(str, self.words))} ended with {code}: {errors.read()[-2000:]}")
        os.unlink(self.folder / ".bench-errors")
        return seconds


def alone(command, rounds):
    """Returns the median of seconds after one time that does not count."""
    command.run()
    return statistics.median(command.run() for _ in range(rounds))


def pair(ours, floor, rounds):
    """Runs both in turns; returns the median seconds of each and the median of the ratios."""
    ours.run(), floor.run()
    first, second, ratios = [], [], []
    for turn in range(rounds):
        if turn % 2:
            b, a = floor.run(), ours.run()
        else:
            a, b = ours.run(), floor.run()
        first.append(a), second.append(b), ratios.append(a / b)
    return statistics.median(first), statistics.median(second), statistics.median(ratios)


def memory(command):
    """Runs a command; returns the peak of MB of Tidegate's own processes, as (their own, the program's).

    Anonymous memory of the engine and the supervisor, added; and the pages of files, nearly all of the
    one program that both run, once. Asked every few milliseconds.
    """
    if command.before:
        command.before()
    process = subprocess.Popen(
        [str(word) for word in command.words], cwd=command.folder, env={**os.environ, **command.env},
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = (0, 0)
    ended = threading.Event()

    def watch():
        nonlocal peak
        supervisor = None
        while not ended.wait(0.005):
            supervisor = supervisor or next((p for p in children(process.pid) if is_supervisor(p)), None)
            engine, other = sizes(process.pid), sizes(supervisor)
            peak = max(peak, (engine[0] + other[0], max(engine[1], other[1])), key=sum)

    watcher = threading.Thread(target=watch)
    watcher.start()
    code = process.wait()
    ended.set()
    watcher.join()
    if code not in command.good:
        raise SystemExit(f"{' '.join(map(str, command.words))} ended with {code}")
    return peak


def sizes(pid):
    """Anonymous and file-backed MB of a process; zeros if it is gone."""
    try:
        text = pathlib.Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return 0, 0
    fields = dict(line.split(":", 1) for line in text.splitlines() if line.startswith("Rss"))
    return tuple(int(fields.get(name, "0").split()[0]) / 1024 for name in ("RssAnon", "RssFile"))


def children(pid):
    """Children of all threads of a process."""
    found = []
    for file in pathlib.Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(word) for word in file.read_text().split()]
        except OSError:
            pass
    return found


def is_supervisor(pid):
    try:
        return b"--supervise" in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
