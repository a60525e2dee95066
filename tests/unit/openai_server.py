"""A small OpenAI-compatible server on the loopback interface: it batches as vLLM does, and has faults to order."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Fault:
    """What happens to one request instead of an answer."""

    status: int = 200
    body: str = '{"error": {"message": "ordered by the test"}}'
    content_type: str = "application/json"
    hang: float = 0.0
    reset: bool = False
    headers: dict[str, str] = field(default_factory=dict)


class OpenAIServer:
    """The server.

    Attributes:
        url: What to give a client as its base URL.
        n: "supported", "ignored" (one choice whatever was asked for) or "refused" (HTTP 400).
        most: How many choices it gives at the most, whatever was asked for.
        logprobs: "supported", "ignored" or "refused" (HTTP 400).
        tops: What it says of an answer's first token: tokens and the logarithms of their probabilities.
        seconds: How long an answer takes; as on a server that batches, whatever else is under way.
        requests: The bodies that came.
    """

    def __init__(self) -> None:
        self.n = "supported"
        self.most = 128
        self.logprobs = "supported"
        self.tops = [("Yes", -0.2), (" yes", -3.0), ("No", -1.9), ("Well", -4.0)]
        self.seconds = 0.0
        self.answer = "Vitamin D is made in the skin by sunlight."
        self.requests: list[dict] = []
        self.faults: deque[Fault] = deque()
        self.numbers = itertools.count(1)
        self.left = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_POST(self):
                with suppress(BrokenPipeError, ConnectionResetError):
                    server.serve(self)

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request, client_address):
                """A client that went away is what some tests are about."""

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self):
        self.left.set()
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()

    def order(self, *faults):
        """The next requests meet these, one each."""
        self.faults.extend(faults)

    def serve(self, handler):
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        self.requests.append(body)
        fault = self.faults.popleft() if self.faults else None
        if fault is not None:
            self.left.wait(fault.hang)
            if fault.reset:
                handler.close_connection = True
                handler.connection.shutdown(2)
                return
            send(handler, fault.status, fault.body, fault.content_type, fault.headers)
            return
        wanted = body.get("n", 1)
        if wanted > 1 and self.n == "refused":
            send(handler, 400, '{"error": {"message": "n > 1 is not supported"}}')
            return
        if body.get("logprobs") and self.logprobs == "refused":
            send(handler, 400, '{"error": {"message": "logprobs is not supported with this model"}}')
            return
        time.sleep(self.seconds)
        count = 1 if self.n == "ignored" else min(wanted, self.most)
        send(handler, 200, json.dumps(self.completion(body, count)))

    def completion(self, body, count):
        choices = [
            {
                "index": index,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": f"{self.answer} ({next(self.numbers)})"},
            }
            for index in range(count)
        ]
        if body.get("logprobs") and self.logprobs == "supported":
            tops = [{"token": token, "logprob": log, "bytes": None} for token, log in self.tops]
            choices[0]["logprobs"] = {"content": [{**tops[0], "top_logprobs": tops}], "refusal": None}
        return {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": choices,
            "usage": {"prompt_tokens": 20, "completion_tokens": 10 * count, "total_tokens": 20 + 10 * count},
        }


def send(handler, status, body, content_type="application/json", headers=None):
    data = body.encode()
    handler.send_response(status)
    for key, value in (headers or {}).items():
        handler.send_header(key, value)
    handler.send_header("Content-Type", content_type)
    handler.send_header("Content-Length", str(len(data)))
    handler.end_headers()
    handler.wfile.write(data)


@contextmanager
def openai_server():
    server = OpenAIServer()
    try:
        yield server
    finally:
        server.close()
