"""An HTTP server on the loopback that answers byte ranges, counts what it sends, and can be told to misbehave."""

import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, *, body):
        served = self.server.served
        parts = urlsplit(self.path)
        served.requests.append((self.command, self.path, self.headers.get("Range")))
        how = served.misbehave.get(parts.path)
        if how is None and not (served.folder / parts.path.lstrip("/")).is_file():
            how = 404
        if isinstance(how, int):
            self.send_response(how)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif isinstance(how, str):
            self.send_response(302)
            self.send_header("Location", how)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif how is not None:
            how(self, body)
        else:
            self.send_file((served.folder / parts.path.lstrip("/")).read_bytes(), body)

    def send_file(self, data, body, *, claim=None):
        """Sends a range, or all; ``claim`` is the length that the headers tell."""
        wanted = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or "")
        whole = len(data) if claim is None else claim
        if wanted and int(wanted[1]) < whole:
            first, last = int(wanted[1]), min(int(wanted[2] or whole - 1), whole - 1)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {first}-{last}/{whole}")
            part, length = data[first : last + 1], last + 1 - first
        else:
            self.send_response(200)
            part, length = data, whole
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if body:
            self.server.served.sent += len(part)
            self.wfile.write(part)
            if len(part) < length:
                self.close_connection = True

    def log_message(self, *_):
        pass


class Served:
    """What a server serves and has done.

    Attributes:
        address: ``http://127.0.0.1:PORT``.
        folder: Whose files it serves.
        misbehave: Path to a status, an address to redirect to, or a function of the handler.
        requests: (method, path with query, range) of each.
        sent: Bytes of bodies.
    """

    def __init__(self, folder, address):
        self.folder, self.address = Path(folder), address
        self.misbehave, self.requests, self.sent = {}, [], 0


@contextmanager
def serving(folder):
    """Serves a folder until the block ends."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    server.served = Served(folder, f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server.served
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)


def hang(seconds):
    """Says nothing for a while."""

    def wait(handler, body):
        time.sleep(seconds)
        handler.close_connection = True

    return wait
