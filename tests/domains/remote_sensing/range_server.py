"""An HTTP server on the loopback that answers byte ranges, counts what it sends, and can be told to misbehave.

It runs in a process of its own: GDAL may wait for an answer while it holds Python's lock, and a thread could then never give one.
"""

import base64
import json
import re
import subprocess
import sys
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

_CONTROL = "/-control-"
FOLDER = Path()
MISBEHAVE, REQUESTS, SENT = {}, [], [0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def do_POST(self):
        MISBEHAVE.update(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self._empty(204)

    def _empty(self, status, **headers):
        self.send_response(status)
        for name, text in {"Content-Length": "0", **headers}.items():
            self.send_header(name, text)
        self.end_headers()

    def _answer(self, *, body):
        path = urlsplit(self.path).path
        if path == _CONTROL:
            self._send(json.dumps({"requests": REQUESTS, "sent": SENT[0]}).encode(), body)
            return
        REQUESTS.append((self.command, self.path, self.headers.get("Range")))
        how, file = MISBEHAVE.get(path, {}), FOLDER / path.lstrip("/")
        if "seconds" in how:
            time.sleep(how["seconds"])
            self.close_connection = True
        elif "status" in how or not ("content" in how or "file" in how or "to" in how or file.is_file()):
            self._empty(how.get("status", 404))
        elif "to" in how:
            self._empty(302, Location=how["to"])
        else:
            file = FOLDER / how["file"] if "file" in how else file
            data = base64.b64decode(how["content"]) if "content" in how else file.read_bytes()
            SENT[0] += self._send(data, body, how.get("claim"), ranges=how.get("ranges", True))

    def _send(self, data, body, claim=None, *, ranges=True):
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "") if ranges else None
        whole = len(data) if claim is None else claim
        if wanted and int(wanted[1]) < whole:
            first, last = int(wanted[1]), min(int(wanted[2] or whole - 1), whole - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
            part, length = data[first : last + 1], last + 1 - first
        else:
            self.send_response(200)
            part, length = data, whole
        if ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if not body:
            return 0
        self.wfile.write(part)
        if len(part) != length:
            self.close_connection = True
        return len(part)

    def log_message(self, *_):
        pass


class Served:
    """A running server; ``address`` is where it answers."""

    def __init__(self, address):
        self.address = address

    def misbehave(self, path, *, content=None, **how):
        """Answers a path otherwise.

        ``status``; ``to`` (a redirect); ``seconds`` of silence; ``content``; or ``file`` (of the folder), whose headers ``claim`` a
        length, or which knows no ``ranges``.
        """
        if content is not None:
            how["content"] = base64.b64encode(content).decode()
        with urlopen(Request(self.address + _CONTROL, json.dumps({path: how}).encode())):
            pass

    def told(self):
        """``requests``: (method, path with query, range) of each; ``sent``: bytes of bodies."""
        with urlopen(self.address + _CONTROL) as answer:
            return json.load(answer)


@contextmanager
def serving(folder):
    """Serves a folder until the block ends."""
    process = subprocess.Popen([sys.executable, __file__, str(folder)], stdout=subprocess.PIPE, text=True)
    try:
        yield Served(f"http://127.0.0.1:{int(process.stdout.readline())}")
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    FOLDER = Path(sys.argv[1])
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    print(server.server_address[1], flush=True)
    server.serve_forever()
