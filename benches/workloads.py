"""The workloads of docs/performance.md: each a function that yields rows of the table."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass

from measure import Command, alone, memory, pair

HERE = pathlib.Path(__file__).resolve().parent
SHELL = ["bash", "--noprofile", "--norc", "-eo", "pipefail"]
CACHE = pathlib.Path(
    os.environ.get("TIDEGATE_CACHE")
    or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "tidegate") / "bench"
REAL_FILES = pathlib.Path(
    os.environ.get("TIDEGATE_ML_WORKFLOWS") or HERE.parent.parent / "shared/conformance/ml-workflows")


@dataclass
class Row:
    """One line of the table. `aim` is an upper bound of `value`; without one there is nothing to miss."""

    name: str
    ours: str
    beside: str
    value: float
    unit: str
    aim: float = None

    def met(self):
        return None if self.aim is None else self.value <= self.aim

    def data(self):
        return {**asdict(self), "met": self.met()}

    def line(self):
        """The row as it is printed below HEAD."""
        word = {None: "", True: "met", False: "MISSED"}[self.met()]
        aim = f"≤ {self.aim:g} {self.unit}" if self.aim is not None else ""
        figure = f"{self.value:.2f} {self.unit}"
        return f"{self.name:34} {self.ours:>20} {self.beside:>22} {figure:>18}   {aim:12} {word}"


def commit(folder, files):
    """Makes a project of these files, committed; returns its folder."""
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    for words in (["init", "-q"], ["add", "-A"],
                  ["-c", "user.name=b", "-c", "user.email=b@b", "commit", "-qm", "bench"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    return folder


def show(rows, file):
    """Prints rows as they come; writes them to a file as JSON at the end, if there is one."""
    print(HEAD)
    kept = []
    for row in rows:
        kept.append(row.data())
        print(row.line(), flush=True)
    if file:
        file.write_text(json.dumps(kept, indent=1, ensure_ascii=False) + "\n")


HEAD = f"{'workload':34} {'tidegate':>20} {'beside it':>22} {'figure':>18}   aim"


class Bench:
    """Where the workloads run and what they need."""

    def __init__(self, tidegate, base, rounds, slow):
        self.tidegate, self.base, self.rounds = tidegate, base, rounds
        self.env = {}
        if slow:
            library = base / "slow_disk.so"
            subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", library, HERE / "slow_disk.c"], check=True)
            self.env = {"LD_PRELOAD": str(library), "SLOW_DISK_MS": "2"}
        self.spawn = base / "spawn"
        subprocess.run(["cc", "-O2", "-o", self.spawn, HERE / "spawn.c"], check=True)
        self.script = base / "true.sh"
        self.script.write_text("/bin/true")

    def command(self, words, folder=None, before=None, good=(0,), env=None):
        return Command(words, folder or self.base, {**self.env, **(env or {})}, before, good)

    def project(self, name, files):
        return commit(self.base / name, files)

    def tide(self, folder, *words, fresh=True, **more):
        """Tidegate in a project, from an empty store or the one that is there."""
        wipe = (lambda: shutil.rmtree(folder / ".tidegate", ignore_errors=True)) if fresh else None
        return self.command([self.tidegate, *words], folder, wipe, **more)


def ms(seconds):
    return f"{seconds * 1000:.1f} ms"


def jobs(count, chain=False, extra=""):
    """A workflow of no-op jobs, independent or each after the one before."""
    text = ["on: workflow_dispatch\njobs:\n"]
    for i in range(count):
        needs = f"needs: j{i - 1}\n    " if chain and i else ""
        text.append(f"  j{i}:\n    {needs}{extra}steps: [{{ shell: bash, run: /bin/true }}]\n")
    return {".ml/workflows/bench.yml": "".join(text)}


def version(bench):
    """W0: the program starts and ends; beside it /bin/true."""
    ours, floor, _ = pair(bench.command([bench.tidegate, "--version"]), bench.command(["/bin/true"]), bench.rounds * 5)
    yield Row("W0 `--version`", ms(ours), f"`true` {ms(floor)}", ours * 1000, "ms", 5)


def one(bench):
    """W1: one job, one step, the whole process, log on disk; beside it the shell alone."""
    folder = bench.project("one", jobs(1))
    ours, floor, _ = pair(
        bench.tide(folder, "run"), bench.command([bench.spawn, 1, *SHELL, bench.script]), bench.rounds * 5)
    yield Row("W1 one step", ms(ours), f"shell {ms(floor)}", ours * 1000, "ms", 15)


def chain(bench):
    """W2: 100 jobs, each after the one before; beside it the same shell, spawned 100 times."""
    folder = bench.project("chain", jobs(100, chain=True))
    ours, floor, ratio = pair(
        bench.tide(folder, "run"), bench.command([bench.spawn, 100, *SHELL, bench.script]), bench.rounds)
    yield Row("W2 chain of 100", f"{ms(ours / 100)} a job", f"spawn {ms(floor / 100)}", ratio, "×", 1.5)


def wide(bench):
    """W3: 1,000 independent jobs, two at once; beside it xargs with the same shell. And the memory of it."""
    folder = bench.project("wide", jobs(1000))
    words = f"seq 1000 | xargs -P2 -I'{{}}' {' '.join(SHELL)} {bench.script}"
    run = bench.tide(folder, "run", "--jobs", "2")
    ours, floor, ratio = pair(run, bench.command(["sh", "-c", words]), bench.rounds)
    yield Row("W3 1,000 jobs", f"{ms(ours / 1000)} a job", f"xargs {ms(floor / 1000)}", ratio, "×", 1.3)
    own, program = memory(run)
    yield Row("W3 memory", f"own {own:.1f} MB", f"program {program:.1f} MB", own + program, "MB", 30)


ML = {
    "prepare.py": """
from sklearn.datasets import load_digits
import numpy, sys
x, y = load_digits(return_X_y=True)
numpy.savez(sys.argv[1], x=x, y=y)
""",
    "train.py": """
import joblib, json, numpy, sys
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
source, c, model, report = sys.argv[1:]
data = numpy.load(source)
x, held, y, truth = train_test_split(data["x"], data["y"], test_size=0.5, random_state=7)
fit = LogisticRegression(C=float(c), max_iter=2000).fit(x, y)
joblib.dump(fit, model)
json.dump({"accuracy": fit.score(held, truth)}, open(report, "w"))
""",
    "evaluate.py": """
import joblib, json, numpy, sys
data = numpy.load(sys.argv[1])
scores = [joblib.load(model).score(data["x"], data["y"]) for model in sys.argv[3:]]
json.dump({"accuracy": max(scores)}, open(sys.argv[2], "w"))
""",
    "floor.sh": """
python prepare.py clean.npz
printf '0.01\\n0.1\\n1\\n10\\n' | xargs -P2 -I{} bash --noprofile --norc -eo pipefail -c \
    'python train.py clean.npz {} model-{}.joblib metrics-{}.json'
python evaluate.py clean.npz report.json model-0.01.joblib model-0.1.joblib model-1.joblib model-10.joblib
""",
    ".gitignore": "*.npz\n*.joblib\n*.json\n.bench-errors\n",
    ".ml/workflows/bench.yml": """
on: workflow_dispatch
jobs:
  prepare:
    steps: [{ shell: bash, run: python prepare.py clean.npz }]
    produces: { clean: clean.npz }
  train:
    needs: prepare
    strategy: { matrix: { c: [0.01, 0.1, 1, 10] } }
    consumes: { clean.npz: "${{ needs.prepare.artifacts.clean }}" }
    steps: [{ shell: bash, run: 'python train.py clean.npz ${{ matrix.c }} model.joblib metrics.json' }]
    metrics: { files: metrics.json, goals: { accuracy: max } }
    produces: { model: model.joblib }
  evaluate:
    needs: [prepare, train]
    consumes:
      clean.npz: "${{ needs.prepare.artifacts.clean }}"
      models: "${{ needs.train.instances[*].artifacts.model }}"
    steps:
      - { shell: bash, run: python evaluate.py clean.npz report.json models/*/* }
      - gate: { metrics: { accuracy: { min: 0.9 } } }
    metrics: { files: report.json, goals: { accuracy: max } }
""",
}


def ml(bench):
    """W4: prepare, four trainings, evaluate, with artifacts, metrics and a gate; beside it a shell script."""
    python = learning_python()
    env = {"PATH": f"{python.parent}:{os.environ['PATH']}", "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    folder = bench.project("ml", ML)
    ours, floor, ratio = pair(
        bench.tide(folder, "run", "--jobs", "2", env=env),
        bench.command([*SHELL, "floor.sh"], folder, env=env), bench.rounds)
    yield Row("W4 ML graph", f"{ours:.2f} s", f"script {floor:.2f} s", (ratio - 1) * 100, "% over", 2)


def learning_python():
    """A Python that has scikit-learn: $TIDEGATE_BENCH_PYTHON, the system's, or one made in the cache folder."""
    has = lambda python: subprocess.run([python, "-c", "import sklearn"], stderr=subprocess.DEVNULL).returncode == 0
    given = os.environ.get("TIDEGATE_BENCH_PYTHON")
    if given or has("python3"):
        return pathlib.Path(given or sys.executable)
    made = CACHE / "python"
    if not (made / "bin/python").exists() or not has(made / "bin/python"):
        subprocess.run([sys.executable, "-m", "venv", made], check=True)
        subprocess.run([made / "bin/pip", "install", "-q", "scikit-learn"], check=True)
    return made / "bin/python"


def rerun(bench):
    """W5: the 1,000 jobs again with nothing changed; beside it ninja, which also has nothing to do."""
    if not shutil.which("ninja"):
        raise SystemExit("the bench `rerun` needs ninja: apt-get install ninja-build")
    folder = bench.project("rerun", jobs(1000, extra="cache: true\n    "))
    bench.tide(folder, "run").run()
    targets = bench.base / "ninja"
    targets.mkdir()
    (targets / "build.ninja").write_text(
        "rule t\n  command = touch $out\n" + "".join(f"build o{i}: t\n" for i in range(1000)))
    subprocess.run(["ninja"], cwd=targets, stdout=subprocess.DEVNULL, check=True)
    ours, floor, ratio = pair(
        bench.tide(folder, "run", fresh=False), bench.command(["ninja"], targets), bench.rounds * 3)
    yield Row("W5 1,000 cached jobs", ms(ours), f"ninja {ms(floor)}", ratio, "×", 5)


def check(bench):
    """Real workflow files, checked; beside it actionlint on the same files, without its outside programs."""
    found = sorted(p for p in REAL_FILES.rglob("*") if p.suffix in (".yml", ".yaml"))
    found = [p for p in found if "workflows" in p.parts][:100]
    if len(found) < 100:
        raise SystemExit(f"the bench `check` needs 100 workflow files below {REAL_FILES} (TIDEGATE_ML_WORKFLOWS)")
    actionlint = linter()
    for copies in (1, 10):
        files = {f".github/workflows/{i}-{copy}.yml": path.read_text()
                 for i, path in enumerate(found) for copy in range(copies)}
        folder = bench.project(f"check{copies}", files)
        names = sorted(files)
        ours, floor, ratio = pair(
            bench.command([bench.tidegate, "check", ".github/workflows"], folder, good=(0, 2)),
            bench.command([actionlint, "-no-color", "-shellcheck=", "-pyflakes=", *names], folder, good=(0, 1)),
            bench.rounds)
        yield Row(f"check of {len(names):,} files", f"{ours / len(names) * 1000:.3f} ms a file",
                  f"actionlint {floor / len(names) * 1000:.3f} ms", ratio, "×", 0.5)


def linter():
    """actionlint: the one on PATH, or one built into the cache folder."""
    made = CACHE / "bin/actionlint"
    if not made.exists():
        if shutil.which("actionlint"):
            return shutil.which("actionlint")
        env = {**os.environ, "GOBIN": str(made.parent), "GOFLAGS": "-mod=mod"}
        subprocess.run(["go", "install", "github.com/rhysd/actionlint/cmd/actionlint@latest"], env=env, check=True)
    return made


def plan(bench):
    """A matrix of 10,000 instances, planned."""
    folder = bench.project("plan", {".ml/workflows/bench.yml": f"""
on: workflow_dispatch
jobs:
  sweep:
    strategy: {{ matrix: {{ a: {list(range(100))}, b: {list(range(100))} }} }}
    steps: [{{ run: 'echo ${{{{ matrix.a }}}} ${{{{ matrix.b }}}}' }}]
"""})
    for form in ("text", "json"):
        ours = alone(bench.command([bench.tidegate, "plan", "--format", form], folder), bench.rounds)
        yield Row(f"plan of 10,000, {form}", ms(ours), "", ours, "s", 1)


def events(bench):
    """100,000 events: decided and appended, read back and replayed; beside it the same bytes to a file."""
    made = subprocess.run(
        ["cargo", "bench", "-q", "--bench", "events", "--", "100000", bench.base], cwd=HERE.parent,
        env={**os.environ, **bench.env}, stdout=subprocess.PIPE, text=True, check=True).stdout
    for line in made.splitlines():
        name, ours, floor = line.split("\t")
        yield Row(name, ms(float(ours)), f"file {ms(float(floor))}", float(ours) * 10, "µs an event")


def growth(bench):
    """Memory against the number of jobs, of events of one job, and of bytes that a step prints."""
    peaks = []
    for count in (1000, 10000):
        folder = bench.project(f"jobs{count}", jobs(count))
        peaks.append(sum(memory(bench.tide(folder, "run"))))
    yield Row("memory, 1,000 to 10,000 jobs", f"{peaks[1]:.0f} MB", f"{peaks[0]:.0f} MB",
              (peaks[1] - peaks[0]) * 1024 / 9000, "kB a job")
    peaks = []
    for count in (10, 2000):
        folder = bench.project(f"attempts{count}", {".ml/workflows/bench.yml": (
            f"on: workflow_dispatch\njobs:\n  j:\n    retry: {{ attempts: {count}, backoff: {{ initial: 0s }} }}\n"
            "    steps: [{ shell: bash, run: exit 1 }]\n")})
        peaks.append(sum(memory(bench.tide(folder, "run", good=(1,)))))
    yield Row("memory, 75 to 14,000 events", f"{peaks[1]:.1f} MB", f"{peaks[0]:.1f} MB", peaks[1] - peaks[0], "MB more", 1)
    peaks = []
    for size in (10_000_000, 1_000_000_000):
        folder = bench.project(f"bytes{size}", {".ml/workflows/bench.yml": (
            f"on: workflow_dispatch\njobs:\n  j:\n    steps: [{{ shell: bash, run: 'head -c {size} <(yes some output)' }}]\n")})
        peaks.append(sum(memory(bench.tide(folder, "run"))))
        shutil.rmtree(folder)
    yield Row("memory, 10 MB to 1 GB of output", f"{peaks[1]:.0f} MB", f"{peaks[0]:.0f} MB", peaks[1] - peaks[0], "MB more", 2)


ALL = [version, one, chain, wide, ml, rerun, check, plan, events, growth]
ON_A_SLOW_DISK = [one, chain, wide, ml, rerun, events]
