"""A web server on this machine that does what servers and lines do wrong, as it is told."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True)
class Fault:
    """What goes wrong with one answer.

    Attributes:
        status: in place of the file; 0 sends it.
        headers: of the answer.
        cut: bytes of the body after which the connection is closed; -1 sends all of them.
        spoil: send other bytes than those of the file.
        ignore_range: send all of the file, whatever part was asked for.
        delay: seconds between blocks of 16 KiB, so that there is time for a kill.
    """

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    cut: int = -1
    spoil: bool = False
    ignore_range: bool = False
    delay: float = 0.0


@dataclass(frozen=True)
class Asked:
    """A request that came; names of headers are in Title-Case."""

    method: str
    path: str
    headers: Mapping[str, str]


class FaultyServer:
    """Serves a folder on 127.0.0.1, and in between answers that are scripted: `faults[path]` are used up in order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.faults: dict[str, list[Fault]] = defaultdict(list)
        self.always: Fault | None = None
        self.answers: dict[str, tuple[Mapping[str, str], bytes]] = {}
        self.asked: list[Asked] = []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 20  # no thread outlives its test for long

            def do_GET(self) -> None:
                outer._serve(self)

            def do_HEAD(self) -> None:
                outer._serve(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def times(self, path: str, method: str = "GET") -> int:
        """How often a path was asked for."""
        return sum(asked.path == path and asked.method == method for asked in self.asked)

    def __enter__(self) -> FaultyServer:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop.set()
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, handler: BaseHTTPRequestHandler) -> None:
        path = unquote(urlsplit(handler.path).path)
        with self._lock:
            self.asked.append(
                Asked(handler.command, path, {name.title(): value for name, value in handler.headers.items()})
            )
            queue = self.faults[path]
            fault = self.always or (queue.pop(0) if queue and handler.command == "GET" else Fault())
        if fault.status:
            return _send(handler, fault.status, fault.headers, b"")
        if path in self.answers:
            headers, body = self.answers[path]
        else:
            file = self.folder / path.lstrip("/")
            if not file.is_file():
                return _send(handler, 404, {}, b"")
            headers, body = {"Last-Modified": formatdate(file.stat().st_mtime, usegmt=True)}, file.read_bytes()
        return self._send_file(handler, {**headers, **fault.headers}, body, fault)

    def _send_file(
        self, handler: BaseHTTPRequestHandler, headers: Mapping[str, str], body: bytes, fault: Fault
    ) -> None:
        status, extra = 200, {}
        asked = handler.headers.get("Range")
        if asked and not fault.ignore_range:
            start = int(asked.removeprefix("bytes=").rstrip("-"))
            if start >= len(body):
                return _send(handler, 416, {"Content-Range": f"bytes */{len(body)}"}, b"")
            status, extra = 206, {"Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"}
            body = body[start:]
        if fault.spoil:
            body = bytes(byte ^ 0xFF for byte in body)
        handler.send_response(status)
        for name, value in {**headers, **extra}.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if handler.command == "HEAD":
            return None
        sent = body if fault.cut < 0 else body[: fault.cut]
        for start in range(0, len(sent), 1 << 14):
            handler.wfile.write(sent[start : start + (1 << 14)])
            if fault.delay and self._stop.wait(fault.delay):
                break
        handler.close_connection = handler.close_connection or fault.cut >= 0
        return None


def _send(handler: BaseHTTPRequestHandler, status: int, headers: Mapping[str, str], body: bytes) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)
