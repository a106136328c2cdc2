"""Asks an API server of Kubernetes, as the benches need it: the kubeconfig's, over connections that stay open."""

import base64
import contextlib
import http.client
import json
import os
import shlex
import ssl
import subprocess
import tempfile
import threading
import urllib.parse


class Api:
    """One namespace of the cluster that KUBECONFIG names."""

    def __init__(self, namespace):
        kubectl = shlex.split(os.environ.get("TIDEGATE_KUBECTL", "kubectl"))
        out = subprocess.run([*kubectl, "config", "view", "--raw", "--minify", "-o", "json"],
                             check=True, capture_output=True, text=True).stdout
        config = json.loads(out)
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        self.server = urllib.parse.urlparse(cluster["server"])
        if "token" not in user and "client-certificate-data" not in user:
            raise SystemExit("the kubeconfig's user needs a token or a certificate")
        self.tls = ssl.create_default_context(
            cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        if "client-certificate-data" in user:
            with tempfile.NamedTemporaryFile() as pem:
                for key in ("client-certificate-data", "client-key-data"):
                    pem.write(base64.b64decode(user[key]))
                pem.flush()
                self.tls.load_cert_chain(pem.name)
        self.headers = {"Content-Type": "application/json"}
        if "token" in user:
            self.headers["Authorization"] = f"Bearer {user['token']}"
        self.name = namespace
        self.line = self.connect()

    def connect(self):
        return http.client.HTTPSConnection(self.server.hostname, self.server.port or 443, context=self.tls, timeout=60)

    def _send(self, method, path, body):
        self.line.request(method, path, body and json.dumps(body), self.headers)
        return self.line.getresponse()

    def _ask(self, method, path, body=None):
        try:
            answer = self._send(method, path, body)
        except http.client.RemoteDisconnected:
            # The server closes what is idle, and what has stood for long.
            self.line.close()
            answer = self._send(method, path, body)
        content = answer.read()
        if answer.status >= 300 and answer.status not in (404, 409):
            raise SystemExit(f"{method} {path}: {answer.status} {content.decode()[:300]}")
        return content

    def call(self, method, group, path, body=None):
        """Asks for something of the namespace; what is there already, or no more, is no error."""
        return json.loads(self._ask(method, f"{group}/namespaces/{self.name}/{path}", body))

    def text(self, group, path):
        return self._ask("GET", f"{group}/namespaces/{self.name}/{path}").decode()

    def cluster(self, method, path, body=None):
        """Asks for something that is in no namespace."""
        return json.loads(self._ask(method, path, body))

    @contextlib.contextmanager
    def namespace(self):
        """Makes the namespace, and removes it afterwards."""
        self.cluster("POST", "/api/v1/namespaces",
                     {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}})
        try:
            yield
        finally:
            self.line = self.connect()
            self.cluster("DELETE", f"/api/v1/namespaces/{self.name}")

    @contextlib.contextmanager
    def watching(self, group, kind, selector, seen):
        """Calls `seen` with the type and the object of each change, from a thread, while the block runs."""
        query = urllib.parse.urlencode({"labelSelector": selector})
        start = self.call("GET", group, f"{kind}?{query}&limit=1")["metadata"]["resourceVersion"]
        line = self.connect()
        line.request("GET", f"{group}/namespaces/{self.name}/{kind}?{query}&watch=1&resourceVersion={start}",
                     headers=self.headers)
        answer, ended = line.getresponse(), threading.Event()

        def follow():
            try:
                for words in answer:
                    change = json.loads(words)
                    seen(change["type"], change["object"])
            except (OSError, ValueError, AttributeError, http.client.HTTPException):
                if not ended.is_set():
                    raise

        thread = threading.Thread(target=follow, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            line.sock and line.sock.shutdown(2)
