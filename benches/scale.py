"""Runs many jobs on a cluster of nodes and pods that exist on paper only (kwok), with a real API server, scheduler and controllers.

usage: python3 benches/scale.py [--jobs N] [--nodes N] [--at-once N] [--no-bare] [--json FILE] [--tidegate FILE] [--qps N]

It needs the cluster of `tests/cluster` (KUBECONFIG, TIDEGATE_CLUSTER), which it leaves changed: the API server keeps an audit log
of Tidegate's requests, the controller manager and the scheduler get --kube-api-qps (0: they have their defaults), and the nodes stay.
kwok is built once by Go. The agents of the pods are played by `benches/agents.rs`, over the real hub. Beside it, afterwards, as many
bare Jobs of the same pod shape are made, first all at once, then as many at once as Tidegate has, then so with a Secret each and
removed when complete, as Tidegate's are, and timed to their last `Complete`.
"""

import argparse
import collections
import json
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile
import threading
import time

from api import Api
from cluster import bare_job
from workloads import CACHE, HERE, Row, commit, show

KWOK = "sigs.k8s.io/kwok/cmd/kwok@v0.7.0"
NAMESPACE = f"tidegate-scale-{os.getpid()}"
STAGES = HERE / "kwok.yaml"
PODS_AT_ONCE = 200  # Tidegate's own.

AUDIT = """apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived, ResponseStarted]
rules: [{ level: Metadata, users: [bench] }, { level: None }]
"""
TEMPLATE = """spec:
  nodeSelector: { type: kwok }
  tolerations: [{ key: kwok.x-k8s.io/node, operator: Exists }]
"""


def workflow(count):
    tens = [str(i) for i in range(100)]
    rows = [str(i) for i in range(-(-count // 100))]
    return (
        "on: workflow_dispatch\n"
        "defaults: { container: 'docker.io/test/busybox:1', run: { shell: sh }, pod-template: .ml/templates/kwok.yaml }\n"
        f"jobs:\n  one:\n    strategy: {{ matrix: {{ a: [{', '.join(rows)}], b: [{', '.join(tens)}] }} }}\n"
        "    steps: [{ run: 'true' }]\n")


def part(*words):
    subprocess.run([*shlex.split(os.environ["TIDEGATE_CLUSTER"]), *words], check=True, stdout=subprocess.DEVNULL)


def kwok():
    program = CACHE / "kwok"
    if not program.exists():
        print(f"building {KWOK} (once)", flush=True)
        subprocess.run(["go", "install", KWOK], check=True, env={**os.environ, "GOBIN": str(CACHE)})
    return program


def prepare(base, qps):
    """Gives the cluster another user, an audit log and less patience; returns that user's kubeconfig and the log."""
    kubeconfig = pathlib.Path(os.environ["KUBECONFIG"])
    tokens = kubeconfig.parent / "keys/tokens.csv"
    if ",bench," not in tokens.read_text():
        with tokens.open("a") as file:
            file.write(f"{os.urandom(16).hex()},bench,bench,system:masters\n")
    token = next(line.split(",")[0] for line in tokens.read_text().splitlines() if ",bench," in line)
    mine = base / "kubeconfig"
    mine.touch(mode=0o600)
    config = kubeconfig.read_text()
    before, _, after = config.partition("{ token: ")
    mine.write_text(f"{before}{{ token: {token}{after[after.index(' '):]}")
    policy, log = base / "audit.yaml", base / "audit.log"
    policy.write_text(AUDIT)
    part("signal", "apiserver", "KILL")
    part("start", "apiserver", f"--audit-policy-file={policy}", f"--audit-log-path={log}")
    flags = [f"--kube-api-qps={qps}", f"--kube-api-burst={2 * qps}"] if qps else []
    syncs = ["--concurrent-job-syncs=50", "--concurrent-gc-syncs=50"] if qps else []
    for name, more in (("controller-manager", syncs), ("scheduler", [])):
        part("signal", name, "KILL")
        part("start", name, *flags, *more)
    return mine, log


def nodes(api, count):
    for i in range(count):
        name = f"kwok-{i}"
        room = {"cpu": "1000", "memory": "1Ti", "pods": "110"}
        api.cluster("POST", "/api/v1/nodes", {
            "apiVersion": "v1", "kind": "Node",
            "metadata": {"name": name, "labels": {"type": "kwok"}, "annotations": {"kwok.x-k8s.io/node": "fake"}},
            "spec": {"taints": [{"key": "kwok.x-k8s.io/node", "value": "fake", "effect": "NoSchedule"}]},
            "status": {"capacity": room, "allocatable": room}})


def bare(api, count, at_once, whole=False):
    """Makes bare Jobs, so many at once, as fast as the API server takes them; returns the seconds to the last one's `Complete`.

    `whole`: each has a Secret, which it owns, and is removed when it is complete, as an attempt of Tidegate's is.
    """
    ended, room = set(), threading.Semaphore(at_once)
    label = f"bare-{at_once}{'-whole' if whole else ''}"
    removing = Api(NAMESPACE)  # A connection of its own: another thread removes.

    def seen(_, job):
        name = job["metadata"]["name"]
        done = any(c["type"] == "Complete" and c["status"] == "True" for c in job["status"].get("conditions", []))
        if done and name not in ended:
            ended.add(name)
            if whole:
                removing.call("DELETE", "/apis/batch/v1", f"jobs/{name}?propagationPolicy=Background")
            room.release()

    began = time.time()
    with api.watching("/apis/batch/v1", "jobs", f"bench={label}", seen):
        for i in range(count + at_once):
            if not room.acquire(timeout=3600):
                raise SystemExit(f"{len(ended)} of {count} bare Jobs ended")
            if i >= count:
                continue  # Waits for those that are under way.
            job = bare_job(f"{label}-{i}")
            job["metadata"]["labels"]["bench"] = label
            job["spec"]["template"]["spec"].update({
                "nodeSelector": {"type": "kwok"}, "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]})
            made = api.call("POST", "/apis/batch/v1", "jobs", job)
            if whole:
                owner = {"apiVersion": "batch/v1", "kind": "Job", "name": made["metadata"]["name"], "uid": made["metadata"]["uid"]}
                api.call("POST", "/api/v1", "secrets", {
                    "apiVersion": "v1", "kind": "Secret", "metadata": {"name": owner["name"], "ownerReferences": [owner]}})
    took = time.time() - began
    # The next ones shall not find them: more objects make every list and every index larger.
    of_these = f"labelSelector=bench%3D{label}&limit=500"
    while api.call("GET", "/apis/batch/v1", f"jobs?labelSelector=bench%3D{label}&limit=1")["items"]:
        api.call("DELETE", "/apis/batch/v1", f"jobs?{of_these}&propagationPolicy=Background")
    patiently(1200, "the bare Jobs' pods are gone", lambda: not api.call("GET", "/api/v1", "pods?limit=1&labelSelector=bench%3Dbare")["items"])
    return took


def patiently(seconds, what, look):
    until = time.time() + seconds
    while not (found := look()):
        if time.time() > until:
            raise SystemExit(f"waited in vain until {what}")
        time.sleep(0.2)
    return found


def hub(api):
    """The address of the namespace's hub, once it is ready."""
    def look():
        pods = api.call("GET", "/api/v1", "pods?labelSelector=app.kubernetes.io%2Fname%3Dtidegate-hub").get("items", [])
        for pod in pods:
            conditions = pod["status"].get("conditions", [])
            if any(c["type"] == "Ready" and c["status"] == "True" for c in conditions):
                return pod["status"]["podIP"], pod["spec"]["containers"][0]["ports"][0]["containerPort"]
    address, port = patiently(60, "the hub is ready", look)
    return f"{address}:{port}"


def requests(log):
    """What Tidegate asked of the API server: counts by verb and resource."""
    counts = collections.Counter()
    for line in log.read_text().splitlines():
        event = json.loads(line)
        about = event.get("objectRef", {})
        counts[f"{event['verb']} {'/'.join(filter(None, [about.get('resource'), about.get('subresource')]))}"] += 1
    return counts


def scale(given, base):
    base.chmod(0o700)
    kubeconfig, log = prepare(base, given.qps)
    api = Api(NAMESPACE)
    patiently(120, "the API server answers", lambda: answers(api))
    project = commit(base / "project", {
        ".ml/workflows/w.yml": workflow(given.jobs), ".ml/templates/kwok.yaml": TEMPLATE})
    agents = given.agents or build_agents()
    helpers = [subprocess.Popen(
        [kwok(), "--kubeconfig", os.environ["KUBECONFIG"], "--config", STAGES,
         "--manage-nodes-with-annotation-selector", "kwok.x-k8s.io/node=fake", "--cidr", "172.30.0.1/16"],
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=open(base / "kwok.log", "w"))]
    try:
        with api.namespace():
            nodes(api, given.nodes)
            words = [given.tidegate.resolve(), "run", "--on", "kubernetes", "--namespace", NAMESPACE]
            words += ["--jobs", str(given.at_once)] if given.at_once else []
            began = time.time()
            run = subprocess.Popen(words, cwd=project, stdin=subprocess.DEVNULL, stdout=open(base / "run.log", "w"),
                                   stderr=subprocess.STDOUT, env={**os.environ, "KUBECONFIG": str(kubeconfig)})
            helpers.append(run)
            acting = subprocess.Popen([agents, hub(api), NAMESPACE, str(given.work), str(given.jobs)],
                                      stdout=subprocess.PIPE, text=True)
            helpers.append(acting)
            _, status, usage = os.wait4(run.pid, 0)
            took = time.time() - began
            if status:
                raise SystemExit(f"tidegate ended with {status}: {(base / 'run.log').read_text()[-2000:]}")
            acknowledged = [float(word) for word in acting.communicate(timeout=60)[0].split()]
            counts = requests(log)
            print(dict(counts.most_common()), flush=True)
            watches = sum(n for what, n in counts.items() if what.startswith("watch"))
            # What grows with the jobs; what is asked once a run does not.
            asked = sum(n for n in counts.values() if n >= given.jobs)
            once = sum(counts.values()) - watches - asked
            yield Row(f"{given.jobs} pods on {given.nodes} nodes", f"{took:.0f} s", f"{given.jobs / took:.0f} jobs a second", took, "s")
            if given.bare:
                at_once = given.at_once or PODS_AT_ONCE
                kinds = [(given.jobs, False, "all at once"), (at_once, False, f"{at_once} at once"),
                         (at_once, True, f"{at_once} at once, with Secrets, removed")]
                for many, whole, what in kinds:
                    theirs = bare(api, given.jobs, many, whole)
                    yield Row(f"beside bare Jobs, {what}", f"{took:.0f} s", f"bare Jobs {theirs:.0f} s", took / theirs, "×")
            yield Row("engine's processors", f"{usage.ru_utime + usage.ru_stime:.0f} s", f"{took:.0f} s", (usage.ru_utime + usage.ru_stime) / took, "cores")
            yield Row("engine's memory", f"{usage.ru_maxrss / 1024:.0f} MB", "", usage.ru_maxrss / 1024, "MB", 100)
            yield Row("requests", f"{asked}", f"{once + asked % given.jobs} a run, {watches} watches", asked // given.jobs, "a job", 3)
            p50, p99, longest = acknowledged
            yield Row("receipt to its acknowledgement", f"{p50 * 1000:.0f} ms", f"99 of 100: {p99:.2f} s, longest {longest:.2f} s", p50 * 1000, "ms")
    finally:
        for helper in helpers:
            if helper.poll() is None:
                helper.kill()


def build_agents():
    out = subprocess.run(["cargo", "bench", "-q", "--bench", "agents", "--no-run", "--message-format=json"],
                         check=True, capture_output=True, text=True, cwd=HERE.parent).stdout
    # The program itself is built, too.
    made = (json.loads(line) for line in out.splitlines())
    return next(one["executable"] for one in made if one.get("executable") and one["target"]["name"] == "agents")


def answers(api):
    try:
        return api.cluster("GET", "/version")
    except (OSError, SystemExit, ValueError):
        api.line = api.connect()
        return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10000)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--at-once", type=int, help="tidegate's --jobs [default: its own]")
    parser.add_argument("--no-bare", dest="bare", action="store_false", help="without the bare Jobs")
    parser.add_argument("--work", type=int, default=1000, help="milliseconds from a pod's start to its receipt")
    parser.add_argument("--qps", type=int, default=500, help="of the controller manager and the scheduler; 0: their defaults")
    parser.add_argument("--agents", type=pathlib.Path, help="the program of benches/agents.rs, if it is built already")
    parser.add_argument("--json", type=pathlib.Path, help="write the rows to this file, too")
    parser.add_argument("--tidegate", type=pathlib.Path, default="target/release/tidegate")
    given = parser.parse_args()
    if given.jobs % 100:
        raise SystemExit("--jobs counts in hundreds")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("told to stop"))
    with tempfile.TemporaryDirectory() as base:
        show(scale(given, pathlib.Path(base)), given.json)


if __name__ == "__main__":
    main()
