"""A door before an API server: forwards every connection, or does what the file MODE says.

usage: door.py KUBECONFIG.json MODE NEW-KUBECONFIG

open: forwards.   shut: takes no connection and cuts all that stand.   stall: what stands says nothing any more, new ones
work.   a number: answers every request with that status, and cuts what stands.   jobs and a number: answers who makes a Job
with that status, and nobody else.   jobs unsaid: the next Job is made, and nobody hears of it.   gone: cuts the watches, and tells
each once that the version it asks for is too old.

MODE.refused has a byte for everybody who was refused something, MODE.told a line for what is done once.
"""
import asyncio
import json
import re
import ssl
import sys
import base64
from urllib.parse import urlparse

kubeconfig, mode_file, new_file = sys.argv[1:4]


def server_of(path):
    """Address, CA and token of a kubeconfig that has one context and is JSON."""
    config = json.load(open(path))
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    return urlparse(cluster["server"]), base64.b64decode(cluster["certificate-authority-data"]).decode(), user["token"]


url, ca, token = server_of(kubeconfig)
context = ssl.create_default_context(cadata=ca)
context.check_hostname = False
standing = set()
stalled = set()
watching = set()
silenced = set()
told = set()


def mode():
    return open(mode_file).read().strip()


def note(name, text):
    with open(f"{mode_file}.{name}", "a") as file:
        file.write(text)


def once(what):
    """Tells whether this is the first time."""
    first = what not in told
    if first:
        told.add(what)
        note("told", what + "\n")
    return first


def status(code):
    reasons = {"429": "TooManyRequests", "500": "InternalError", "410": "Expired"}
    return {
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": int(code),
        "reason": reasons[code], "message": "the door says " + code,
    }


def answer(code):
    body = json.dumps(status(code)).encode()
    more = "Retry-After: 1\r\n" if code == "429" else ""
    head = f"HTTP/1.1 {code} No\r\n{more}Content-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return head.encode() + body


def too_old():
    line = json.dumps({"type": "ERROR", "object": status("410")}).encode() + b"\n"
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    return head + f"{len(line):x}\r\n".encode() + line + b"\r\n0\r\n\r\n"


async def whole(data, reader):
    """A request to its end; this is how it begins."""
    while b"\r\n\r\n" not in data:
        data += await reader.read(65536) or b"\r\n\r\n"
    head, _, body = data.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    missing = int(length[1]) - len(body) if length else 0
    return data + (await reader.readexactly(missing) if missing > 0 else b"")


async def asked(data, reader, connection):
    """What the door itself says to what a client says, if it does, and what goes on to the server."""
    request = re.match(rb"(GET|POST|PUT|PATCH|DELETE) ([^ ?]*)([^ ]*) HTTP/1", data)
    if not request:
        return None, data
    method, path, query = request[1].decode(), request[2].decode(), request[3].decode()
    now = mode()
    (watching.add if "watch=true" in query else watching.discard)(connection)
    if now == "gone" and connection in watching and once("gone " + path):
        return too_old(), data
    if now.startswith("jobs ") and method == "POST" and path.endswith("/jobs"):
        data = await whole(data, reader)
        if now[5:].isdigit():
            note("refused", ".")
            return answer(now[5:]), data
        if once("unsaid"):
            silenced.add(connection)
    return None, data


async def ask(reader, up_writer, writer, connection):
    """Passes on what a client says."""
    try:
        while data := await reader.read(65536):
            while connection in stalled:
                await asyncio.sleep(0.2)
            own, data = await asked(data, reader, connection)
            if own:
                writer.write(own)
                await writer.drain()
                writer.close()
                break
            up_writer.write(data)
            await up_writer.drain()
    except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
        pass
    finally:
        up_writer.close()


async def pump(reader, writer, connection):
    try:
        while data := await reader.read(65536):
            while connection in stalled:
                await asyncio.sleep(0.2)
            if connection in silenced:
                break
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def serve(reader, writer):
    now = mode()
    if now == "shut" or now.isdigit():
        # Tests ask whether anybody came.
        note("refused", ".")
    if now == "shut":
        writer.close()
        return
    if now.isdigit():
        try:
            await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            writer.close()
            return
        writer.write(answer(now))
        await writer.drain()
        writer.close()
        return
    connection = object()
    try:
        up_reader, up_writer = await asyncio.open_connection(url.hostname, url.port, ssl=context)
    except OSError:
        writer.close()
        return
    standing.add((connection, writer, up_writer))
    await asyncio.gather(ask(reader, up_writer, writer, connection), pump(up_reader, writer, connection))


async def watch_mode():
    last = "open"
    while True:
        now = mode()
        if now != last and now == "stall":
            stalled.update(connection for connection, _, _ in standing)
        elif now != last and (now in ("shut", "gone") or now.isdigit()):
            cut = {each for each in standing if now != "gone" or each[0] in watching}
            for _, one, other in cut:
                one.close()
                other.close()
            standing.difference_update(cut)
        last = now
        await asyncio.sleep(0.1)


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with open(new_file, "w") as out:
        json.dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "door",
            "clusters": [{"name": "door", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
            "users": [{"name": "door", "user": {"token": token}}],
            "contexts": [{"name": "door", "context": {"cluster": "door", "user": "door"}}],
        }, out)
    print("ready", flush=True)
    await asyncio.gather(server.serve_forever(), watch_mode())


asyncio.run(main())
