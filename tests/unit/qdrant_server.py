"""A small Qdrant server on the loopback interface, with faults to order.

It speaks as much of the REST interface as a collection, a retriever and an indexer ask for, and answers from
qdrant-client's own engine in Python.
"""

from __future__ import annotations

import json
import re
import threading
import time
import warnings
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from qdrant_client import QdrantClient, models
from qdrant_client.http import models as rest

_COLLECTION = re.compile(r"^/collections/(?P<name>[^/]+)(?P<rest>/.*)?$")


@dataclass
class Fault:
    """What happens to one request instead of an answer.

    Attributes:
        status: The status to answer with; None for none.
        headers: Headers of that answer.
        hang: Seconds to wait before anything else.
        reset: Whether to cut the connection.
        body: The body of the answer.
    """

    status: int | None = None
    headers: dict[str, str] = field(default_factory=dict)
    hang: float = 0.0
    reset: bool = False
    body: str = '{"status": {"error": "ordered by the test"}}'


class QdrantServer:
    """The server: `url` to connect to, `faults` to order, `requests` that came."""

    def __init__(self) -> None:
        self.engine = QdrantClient(":memory:")
        self.lock = threading.Lock()
        self.faults: deque[Fault] = deque()
        self.faulty = re.compile("/points")
        self.requests: list[tuple[str, str]] = []
        self.key: str | None = None
        self.version = "1.15.9"
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def handle_any(self):
                server.answer(self)

            do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = handle_any  # noqa: N815  the base class calls them so

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                """A client that went away is what some tests are about."""

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()
        self.engine.close()

    def order(self, *faults, at="/points"):
        """The next requests to paths with `at` in them meet these faults, one each."""
        self.faulty = re.compile(at)
        self.faults.extend(faults)

    def answer(self, handler):
        length = int(handler.headers.get("Content-Length") or 0)
        body = json.loads(handler.rfile.read(length)) if length else {}
        path = handler.path.split("?")[0]
        self.requests.append((handler.command, path))
        if self.key is not None and handler.headers.get("api-key") != self.key:
            send(handler, 401, '{"status": {"error": "Unauthorized"}}')
            return
        if self.faults and self.faulty.search(path):
            fault = self.faults.popleft()
            time.sleep(fault.hang)
            if fault.reset:
                handler.close_connection = True
                handler.connection.shutdown(2)
                return
            if fault.status is not None:
                send(handler, fault.status, fault.body, fault.headers)
                return
        try:
            with self.lock, warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = self.route(handler.command, path, body)
        except ValueError as error:
            status = 404 if "not found" in str(error) else 400
            send(handler, status, json.dumps({"status": {"error": str(error)}, "time": 0.0}))
            return
        if path == "/":
            send(handler, 200, json.dumps(result))
            return
        send(handler, 200, json.dumps({"result": result, "status": "ok", "time": 0.0}))

    def route(self, method, path, body):
        if path == "/":
            return {"title": "qdrant - vector search engine", "version": self.version}
        if path == "/collections":
            return dump(self.engine.get_collections())
        found = _COLLECTION.match(path)
        name, rest_of_path = found["name"], found["rest"] or ""
        return getattr(self, ROUTES[method, rest_of_path])(name, body)

    # ---- collections ---------------------------------------------------------------------------------------------

    def create(self, name, body):
        request = rest.CreateCollection.model_validate(body)
        return self.engine.create_collection(
            name,
            vectors_config=request.vectors,
            sparse_vectors_config=request.sparse_vectors,
            metadata=request.metadata,
        )

    def describe(self, name, body):
        return dump(self.engine.get_collection(name))

    def update(self, name, body):
        return self.engine.update_collection(name, metadata=body.get("metadata"))

    def exists(self, name, body):
        return {"exists": self.engine.collection_exists(name)}

    def drop(self, name, body):
        return self.engine.delete_collection(name)

    def index(self, name, body):
        return dump(models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED))

    # ---- points --------------------------------------------------------------------------------------------------

    def upsert(self, name, body):
        return dump(self.engine.upsert(name, rest.PointsList.model_validate(body).points))

    def query(self, name, body):
        requests = rest.QueryRequestBatch.model_validate(body).searches
        return [dump(each) for each in self.engine.query_batch_points(name, requests)]

    def retrieve(self, name, body):
        request = rest.PointRequest.model_validate(body)
        return [
            dump(each)
            for each in self.engine.retrieve(
                name, request.ids, with_payload=request.with_payload, with_vectors=bool(request.with_vector)
            )
        ]

    def scroll(self, name, body):
        request = rest.ScrollRequest.model_validate(body)
        points, following = self.engine.scroll(
            name,
            scroll_filter=request.filter,
            limit=request.limit or 10,
            offset=request.offset,
            with_payload=request.with_payload,
            with_vectors=bool(request.with_vector),
        )
        return {"points": [dump(each) for each in points], "next_page_offset": following}

    def count(self, name, body):
        request = rest.CountRequest.model_validate(body)
        return dump(self.engine.count(name, count_filter=request.filter))

    def delete(self, name, body):
        selector = rest.FilterSelector.model_validate(body) if "filter" in body else body["points"]
        return dump(self.engine.delete(name, selector))

    def facet(self, name, body):
        request = rest.FacetRequest.model_validate(body)
        return dump(
            self.engine.facet(name, request.key, facet_filter=request.filter, limit=request.limit or 10)
        )


ROUTES = {
    ("PUT", ""): "create",
    ("GET", ""): "describe",
    ("PATCH", ""): "update",
    ("DELETE", ""): "drop",
    ("GET", "/exists"): "exists",
    ("PUT", "/index"): "index",
    ("PUT", "/points"): "upsert",
    ("POST", "/points"): "retrieve",
    ("POST", "/points/query/batch"): "query",
    ("POST", "/points/scroll"): "scroll",
    ("POST", "/points/count"): "count",
    ("POST", "/points/delete"): "delete",
    ("POST", "/facet"): "facet",
}


def dump(value):
    return json.loads(value.model_dump_json(exclude_none=True))


def send(handler, status, body, headers=None):
    data = body.encode()
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    handler.send_header("Content-Length", str(len(data)))
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.end_headers()
    handler.wfile.write(data)


@contextmanager
def serving():
    server = QdrantServer()
    try:
        yield server
    finally:
        server.close()
