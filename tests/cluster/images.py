"""Makes images as docker-archive files: `images.py pause|busybox|python OUT.tar`, `images.py tidegate OUT.tar PROGRAM VERSION`,
`images.py kueue OUT.tar PROGRAM`.

The same input gives the same file, whoever makes it: owners are numbers (root where they do not matter), times are zero, names
are sorted. Only `python` needs root, for debootstrap.
"""

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

EXAMPLES = Path(__file__).resolve().parents[2] / ".mlflow-examples"
SUITE, PYTHON = "bookworm", "3.11"
# What no program needs at run time.
SLIM = ["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian", "var/cache", "var/log",
        "var/lib/apt/lists", "boot", "media", "srv"]


def layer(root: Path, out: Path, owners: bool) -> str:
    """Writes the tree as a tar, with its owners or as root's; returns its digest."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.mtime, entry.uname, entry.gname = 0, "", ""
        if not owners:
            entry.uid = entry.gid = 0
        return entry

    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(root.iterdir()):
            tar.add(path, path.name, filter=plain)
    with out.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def archive(root: Path, out: Path, name: str, owners: bool = False, **config: object) -> None:
    """Writes a docker-archive with one layer: the tree."""
    tar = out.with_suffix(".layer")
    digest = layer(root, tar, owners)
    environment = ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", *config.pop("Env", [])]
    image = {"architecture": os.uname().machine.replace("x86_64", "amd64").replace("aarch64", "arm64"), "os": "linux",
             "config": {"Env": environment, **config}, "rootfs": {"type": "layers", "diff_ids": [f"sha256:{digest}"]},
             "history": [{"created_by": "tests/cluster/images.py"}]}
    content = json.dumps(image).encode()
    label = hashlib.sha256(content).hexdigest() + ".json"
    manifest = json.dumps([{"Config": label, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(out, "w", format=tarfile.GNU_FORMAT) as whole:
        def add(member: str, size: int, data: io.BufferedIOBase) -> None:
            # A new entry has no owner and no time.
            entry = tarfile.TarInfo(member)
            entry.size = size
            whole.addfile(entry, data)

        for member, data in ((label, content), ("manifest.json", manifest)):
            add(member, len(data), io.BytesIO(data))
        with tar.open("rb") as data:
            add("layer.tar", tar.stat().st_size, data)
    tar.unlink()


def busybox(root: Path) -> None:
    """A root with the static busybox, a link for each of its commands, and two users."""
    program = shutil.which("busybox")
    (root / "bin").mkdir()
    shutil.copy2(program, root / "bin/busybox")
    for command in subprocess.run([program, "--list"], check=True, capture_output=True, text=True).stdout.split():
        if command != "busybox":
            (root / "bin" / command).symlink_to("busybox")
    for folder in ("dev", "etc", "home", "proc", "root", "sys", "tmp", "usr", "var"):
        (root / folder).mkdir()
    (root / "tmp").chmod(0o1777)
    (root / "usr/bin").symlink_to("../bin")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nnogroup:x:65534:\n")


def python(root: Path) -> None:
    """A small Debian with the examples' Python packages installed, and their wheels for those who make an environment.

    A pod of the test cluster reaches no package registry, so pip is told to take wheels from that folder alone.
    """
    packages = "python3,python3-venv"
    subprocess.run(["debootstrap", "--variant=minbase", f"--include={packages}", SUITE, root], check=True,
                   stdout=subprocess.DEVNULL)
    wanted = sorted({line for file in EXAMPLES.glob("*/requirements.txt") for line in file.read_text().split("\n") if line})
    wheels, installed = root / "opt/wheels", root / f"usr/local/lib/python{PYTHON}/dist-packages"
    wheels.mkdir(parents=True)
    tools = root / "tmp/pip"
    subprocess.run([sys.executable, "-m", "venv", tools], check=True)
    pip = [tools / "bin/python", "-m", "pip", "--disable-pip-version-check", "--quiet"]
    machine = os.uname().machine
    target = ["--only-binary=:all:", f"--python-version={PYTHON}", "--implementation=cp", f"--abi=cp{PYTHON.replace('.', '')}",
              *(f"--platform=manylinux{glibc}_{machine}" for glibc in ("_2_28", "_2_27", "_2_17", "2014")), "--abi=none",
              "--abi=abi3"]
    subprocess.run([*pip, "download", *target, f"--dest={wheels}", *wanted], check=True)
    subprocess.run([*pip, "install", *target, "--no-index", f"--find-links={wheels}", f"--target={installed}", "--no-compile",
                    *wanted], check=True)
    shutil.rmtree(tools)
    for folder in SLIM:
        shutil.rmtree(root / folder, ignore_errors=True)
    for folder in ("var/cache", "var/log"):
        (root / folder).mkdir()
    for folder in root.glob("usr/**/__pycache__"):
        shutil.rmtree(folder, ignore_errors=True)
    (root / "usr/local/bin/python").symlink_to("/usr/bin/python3")


def program(root: Path, file: str, name: str) -> None:
    """One static program and nothing else."""
    shutil.copy2(file, root / name)
    (root / name).chmod(0o755)


def main() -> None:
    kind, out = sys.argv[1], Path(sys.argv[2])
    root = out.with_suffix(".root")
    shutil.rmtree(root, ignore_errors=True)
    root.mkdir()
    if kind == "python":
        python(root)
        archive(root, out, "docker.io/test/python:1", owners=True, Cmd=["python3"],
                Env=["PIP_NO_INDEX=1", "PIP_FIND_LINKS=/opt/wheels", "LANG=C.UTF-8"])
    elif kind == "busybox":
        busybox(root)
        archive(root, out, "docker.io/test/busybox:1", Cmd=["sh"])
    elif kind == "pause":
        busybox(root)
        archive(root, out, "docker.io/test/pause:1", Cmd=["/bin/busybox", "sleep", "2147483647"])
    elif kind == "tidegate":
        file, version = sys.argv[3:]
        program(root, file, "tidegate")
        archive(root, out, f"docker.io/tidegate/tidegate:{version}", Entrypoint=["/tidegate"], User="65532:65532")
    elif kind == "kueue":
        program(root, sys.argv[3], "manager")
        archive(root, out, "docker.io/test/kueue:1", Entrypoint=["/manager"], User="65532:65532")
    else:
        sys.exit(__doc__)
    shutil.rmtree(root)


main()
