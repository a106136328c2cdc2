"""A door before an API server: forwards every connection, or does what the file MODE says.

usage: door.py KUBECONFIG.json MODE NEW-KUBECONFIG

open: forwards.   shut: takes no connection and cuts all that stand.   stall: what stands says nothing any more, new ones
work.   a number: answers every request with that status, and cuts what stands.
"""
import asyncio
import json
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


def mode():
    return open(mode_file).read().strip()


async def pump(reader, writer, connection):
    try:
        while data := await reader.read(65536):
            while connection in stalled:
                await asyncio.sleep(0.2)
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
        with open(mode_file + ".refused", "a") as refused:
            refused.write(".")
    if now == "shut":
        writer.close()
        return
    if now.isdigit():
        try:
            await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError):
            writer.close()
            return
        reasons = {"429": "TooManyRequests", "500": "InternalError", "410": "Expired"}
        body = json.dumps({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "code": int(now),
            "reason": reasons[now], "message": "the door says " + now,
        }).encode()
        head = f"HTTP/1.1 {now} No\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        writer.write(head.encode() + body)
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
    await asyncio.gather(pump(reader, up_writer, connection), pump(up_reader, writer, connection))


async def watch_mode():
    last = "open"
    while True:
        now = mode()
        if now != last and now == "stall":
            stalled.update(connection for connection, _, _ in standing)
        elif now != last and now != "open":
            for _, one, other in standing:
                one.close()
                other.close()
            standing.clear()
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
