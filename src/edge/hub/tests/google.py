"""Stands in for Google Cloud Storage, which cannot be had on one machine: its XML API for single objects, with its signatures.

After Google's description: "XML API", "PUT Object - Copy", and of signed URLs "V4 signing process" and "Canonical requests".
usage: google.py PORT MODULUS    the modulus, in hex, of the RSA key that signs. A hub's own requests have a token that
it signs itself; whether they have one is looked at.
"""

import calendar
import email.utils
import hashlib
import http.server
import sys
import time
import urllib.parse

port, modulus = int(sys.argv[1]), int(sys.argv[2], 16)
objects = {}


def is_signed(method, target, query):
    said = sorted((k, v) for k, v in query if k != "X-Goog-Signature")
    given = dict(query)
    stamp = given["X-Goog-Date"]
    age = time.time() - calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ"))
    if not -5 <= age <= int(given["X-Goog-Expires"]) or given["X-Goog-SignedHeaders"] != "host":
        return False
    quoted = "&".join(f"{urllib.parse.quote(k, safe='')}={urllib.parse.quote(v, safe='')}" for k, v in said)
    request = f"{method}\n{target}\n{quoted}\nhost:storage.googleapis.com\n\nhost\nUNSIGNED-PAYLOAD"
    text = f"GOOG4-RSA-SHA256\n{stamp}\n{stamp[:8]}/auto/storage/goog4_request\n{hashlib.sha256(request.encode()).hexdigest()}"
    # RSASSA-PKCS1-v1_5 with SHA-256 (RFC 8017, 9.2).
    size = (modulus.bit_length() + 7) // 8
    digest = bytes.fromhex("3031300d060960864801650304020105000420") + hashlib.sha256(text.encode()).digest()
    padded = b"\x00\x01" + b"\xff" * (size - 3 - len(digest)) + b"\x00" + digest
    return pow(int(given["X-Goog-Signature"], 16), 65537, modulus) == int.from_bytes(padded, "big")


class Storage(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def serve(self):
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        target, _, query = self.path.partition("?")
        query = urllib.parse.parse_qsl(query, keep_blank_values=True)
        key = urllib.parse.unquote(target)
        if not (is_signed(self.command, target, query) if any(k == "X-Goog-Signature" for k, _ in query)
                else self.headers.get("Authorization", "").startswith("Bearer ey")):
            return self.answer(403)
        if self.command == "PUT":
            source = self.headers.get("x-goog-copy-source")
            if source is not None:
                content = objects.get("/" + urllib.parse.unquote(source))
            if content is None:
                return self.answer(404)
            objects[key] = content
            return self.answer(200)
        found = objects.get(key)
        if found is None:
            return self.answer(404)
        if self.command == "DELETE":
            del objects[key]
            return self.answer(204)
        return self.answer(200, found)

    do_GET = do_HEAD = do_PUT = do_DELETE = serve

    def answer(self, status, content=b""):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        self.send_header("Last-Modified", email.utils.formatdate(usegmt=True))
        self.send_header("x-goog-generation", "1")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", port), Storage).serve_forever()
