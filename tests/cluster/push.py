"""Sends an image to a registry: `push.py FILE.tar HOST:PORT/NAME:TAG USER PASSWORD MARK [MACHINE]`; prints its digest.

FILE.tar is a docker-archive of one layer, as images.py makes them. MARK, a label, makes another image of it;
with MACHINE
the name is a list of images, in which it is the only one, for that architecture, whatever is in it.
"""

import base64
import hashlib
import json
import sys
import tarfile
import urllib.request

DOCKER = "application/vnd.docker"


def push(archive: str, reference: str, user: str, password: str, mark: str, machine: str = "") -> str:
    """Sends it over plain HTTP (Docker Registry HTTP API V2); returns the manifest's digest."""
    host, name = reference.split("/", 1)
    name, tag = name.rsplit(":", 1)
    login = base64.b64encode(f"{user}:{password}".encode()).decode()

    def call(method: str, url: str, data: bytes = b"", kind: str = "application/octet-stream") -> dict:
        headers = {"Authorization": f"Basic {login}", "Content-Type": kind}
        with urllib.request.urlopen(urllib.request.Request(url, data, headers, method=method)) as answer:
            return dict(answer.headers)

    def blob(data: bytes, kind: str) -> dict:
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        place = call("POST", f"http://{host}/v2/{name}/blobs/uploads/")["Location"]
        call("PUT", f"{place}{'&' if '?' in place else '?'}digest={digest}", data)
        return {"mediaType": f"{DOCKER}.{kind}", "size": len(data), "digest": digest}

    with tarfile.open(archive) as tar:
        def read(member: str) -> bytes:
            return tar.extractfile(member).read()

        parts = json.loads(read("manifest.json"))[0]
        config = json.loads(read(parts["Config"]))
        config["config"]["Labels"] = {"mark": mark}
        manifest = {"schemaVersion": 2, "mediaType": f"{DOCKER}.distribution.manifest.v2+json",
                    "config": blob(json.dumps(config).encode(), "container.image.v1+json"),
                    "layers": [blob(read(layer), "image.rootfs.diff.tar") for layer in parts["Layers"]]}

    def put(what: dict, tag: str) -> dict:
        data = json.dumps(what).encode()
        answer = call("PUT", f"http://{host}/v2/{name}/manifests/{tag}", data, what["mediaType"])
        return {"mediaType": what["mediaType"], "size": len(data), "digest": answer["Docker-Content-Digest"]}

    if machine:
        # A node looks at the machine of an image only where it has to choose one.
        only = {**put(manifest, f"{tag}-{machine}"), "platform": {"architecture": machine, "os": "linux"}}
        manifest = {"schemaVersion": 2, "mediaType": f"{DOCKER}.distribution.manifest.list.v2+json", "manifests": [only]}
    return put(manifest, tag)["digest"]


print(push(*sys.argv[1:]))
