"""The WSGI application: OpenAI's Batch and Files API over a world."""

import re
from collections.abc import Callable, Iterable, Iterator
from email.utils import formatdate
from http import HTTPStatus
from time import perf_counter
from typing import Any
from urllib.parse import parse_qsl
from uuid import uuid4
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

import msgspec

from dashboard.simulator import files
from dashboard.simulator.answers import Request, Response, What, bad_key, no_batch, no_scope, refuse, reply
from dashboard.simulator.batches import render, status
from dashboard.simulator.faults import KINDS
from dashboard.simulator.ids import Kind, read_file_id
from dashboard.simulator.jobs import ENDPOINTS, MODELS
from dashboard.simulator.world import Call, World

_LARGEST_UPLOAD = 200 * 1024 * 1024
_REASONS = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_SCOPES: dict[str, str] = {"create": "api.batch.write", "cancel": "api.batch.write", "upload": "api.files.write"}


def application(world: World) -> WSGIApplication:
    """The API of a world as a WSGI callable, for any server."""

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        began = perf_counter()
        query = environ.get("QUERY_STRING", "")
        request = Request(
            environ["REQUEST_METHOD"],
            environ["PATH_INFO"],
            dict(parse_qsl(query, keep_blank_values=True)) if query else {},
            environ.get("HTTP_AUTHORIZATION", ""),
            environ.get("CONTENT_TYPE", ""),
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)),
            range=environ.get("HTTP_RANGE", ""),
            accept_encoding=environ.get("HTTP_ACCEPT_ENCODING", ""),
        )
        response = answer(world, request)
        world.requests.append(
            Call(request.method, f"{request.path}?{query}" if query else request.path, response.status)
        )
        headers = response.headers
        headers["x-request-id"] = f"req_{uuid4().hex}"
        headers["openai-processing-ms"] = str(int((perf_counter() - began) * 1000))
        headers["openai-version"] = "2020-10-01"
        headers.setdefault("Date", formatdate(world.now(), usegmt=True))
        body = response.body
        if isinstance(body, bytes):
            headers["Content-Length"] = str(len(body))
        start_response(_REASONS[response.status], list(headers.items()))
        return [body] if isinstance(body, bytes) else body

    return app


def answer(world: World, request: Request) -> Response:
    """Answers a request, with whatever faults are switched on."""
    faults = world.faults.take(request.what)
    response: Response | None = None
    for fault in faults:
        act = KINDS[fault.kind].before
        response = response or (act(request, fault, world) if act else None)
    response = response or _refused(world, request) or _HANDLERS[request.what](world, request)
    for fault in faults:
        if change := KINDS[fault.kind].after:
            change(request, response, fault, world)
    return response


def _refused(world: World, request: Request) -> Response | None:
    """The refusal of a key that is missing, wrong or may only read; None for a good one."""
    scheme, _, key = request.authorization.partition(" ")
    if scheme != "Bearer" or not key:
        return refuse(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer "
            "auth (i.e. Authorization: Bearer YOUR_KEY).",
        )
    if key in world.api_keys:
        return None
    if key not in world.read_only_keys:
        return bad_key(key)
    return no_scope(_SCOPES[request.what]) if request.what in _SCOPES else None


def _limit(request: Request, default: int, largest: int) -> int | Response:
    text = request.query.get("limit", str(default))
    if not re.fullmatch(r"-?\d{1,9}", text):
        says = f"Invalid type for 'limit': expected an integer, but got '{text[:40]}' instead."
        return refuse(400, says, "invalid_type", "limit")
    if int(text) > largest:
        says = f"Invalid 'limit': integer above maximum value. Expected a value <= {largest}, but got {text} instead."
        return refuse(400, says, "integer_above_max_value", "limit")
    if int(text) < 0:
        says = f"Invalid 'limit': integer below minimum value. Expected a value >= 0, but got {text} instead."
        return refuse(400, says, "integer_below_min_value", "limit")
    return int(text)


def _list(world: World, request: Request) -> Response:
    limit = _limit(request, 20, 100)
    if isinstance(limit, Response):
        return limit
    cursor = request.query.get("after")
    after = world.find(cursor) if cursor else None
    if cursor and after is None:
        return refuse(400, f"Invalid 'after': no batch found with id '{cursor[:80]}'.", "invalid_value", "after")
    lives, more = (world.page_upwards if request.oldest_first else world.page)(after, limit)
    now, as_of = world.now(), request.as_of
    data = ",".join([render(life, as_of(life) if as_of else now) for life in lives])
    first, last = (f'"{lives[0].id}"', f'"{lives[-1].id}"') if lives else ("null", "null")
    has_more = "true" if more else "false"
    page = f'{{"object":"list","data":[{data}],"first_id":{first},"last_id":{last},"has_more":{has_more}}}'
    return Response(200, page.encode())


def _retrieve(world: World, request: Request) -> Response:
    life = world.find(request.id)
    if life is None:
        return no_batch(request.id)
    now = world.retrieved[life.id] = world.now()
    return Response(200, render(life, now).encode())


def _cancel(world: World, request: Request) -> Response:
    life = world.find(request.id)
    if life is None:
        return no_batch(request.id)
    life = world.cancel(life)
    now = world.retrieved[life.id] = world.now()
    if now >= life.ends:
        return refuse(409, f"Cannot cancel a batch with status '{status(life, now)}'.")
    return Response(200, render(life, now).encode())


def _create(world: World, request: Request) -> Response:
    try:
        asked = msgspec.json.decode(request.body, type=dict[str, Any])
    except msgspec.DecodeError:
        return refuse(400, "We could not parse the JSON body of your request.")
    endpoint, window, metadata = asked.get("endpoint"), asked.get("completion_window"), asked.get("metadata")
    for name in ("input_file_id", "endpoint", "completion_window"):
        if not isinstance(asked.get(name), str):
            return refuse(400, f"Missing required parameter: '{name}'.", "missing_required_parameter", name)
    if endpoint not in ENDPOINTS:
        says = f"Invalid value: '{endpoint}'. Supported values are: {', '.join(repr(e) for e in ENDPOINTS)}."
        return refuse(400, says, "invalid_value", "endpoint")
    if window != "24h":
        return refuse(400, f"Invalid value: '{window}'. Value must be '24h'.", "invalid_value", "completion_window")
    if metadata is not None and not _fits(metadata):
        says = "Invalid 'metadata': up to 16 pairs of strings, keys up to 64 and values up to 512 characters."
        return refuse(400, says, "invalid_value", "metadata")
    found = read_file_id(asked["input_file_id"], world.key)
    source = world.uploads[found[1]] if found and found[0] == "upload" and found[1] < len(world.uploads) else None
    if source is None or source.purpose != "batch":
        says = f"Invalid input file: '{asked['input_file_id']}' does not exist or does not have the purpose 'batch'."
        return refuse(400, says, "invalid_value", "input_file_id")
    return Response(200, render(world.create(source, endpoint, metadata), world.now()).encode())


def _fits(metadata: Any) -> bool:
    return (
        isinstance(metadata, dict)
        and len(metadata) <= 16
        and all(len(k) <= 64 and isinstance(v, str) and len(v) <= 512 for k, v in metadata.items())
    )


def _upload(world: World, request: Request) -> Response:
    if len(request.body) > _LARGEST_UPLOAD:
        return refuse(413, "File is too large: batch input files may have up to 200 MB.")
    parts = files.parse_upload(request.body, request.content_type) or {}
    if "file" not in parts or "purpose" not in parts:
        missing = "purpose" if "file" in parts else "file"
        return refuse(400, f"Missing required parameter: '{missing}'.", "missing_required_parameter", missing)
    filename, content = parts["file"]
    return reply(files.uploaded(world.upload(filename, parts["purpose"][1].decode(), content)))


def _file(world: World, request: Request) -> Response:
    found = read_file_id(request.id, world.key)
    if found:
        kind, number = found
        if kind == "upload" and number < len(world.uploads):
            return reply(files.uploaded(world.uploads[number]))
        life = world.numbered(number) if kind != "upload" else None
        if life and (described := files.of_batch(life, kind, world.now())):
            return reply(described)
    return refuse(404, f"No such File object: {request.id}", param="id")


def _content(world: World, request: Request) -> Response:
    described = _file(world, request)
    found = read_file_id(request.id, world.key)
    if described.status != 200 or not found or not isinstance(described.body, bytes):
        return described
    kind, number = found
    life = None if kind == "upload" else world.numbered(number)
    content = files.content(life, kind) if life else iter((world.uploads[number].content,))
    size = msgspec.json.decode(described.body, type=dict[str, Any])["bytes"] if not request.changes else None
    for change in request.changes:
        content = change(content)
    headers = {"Content-Type": "application/octet-stream", "Accept-Ranges": "bytes"}
    if not request.range:
        return Response(200, content if life or request.changes else world.uploads[number].content, headers)
    if size is None:
        whole = b"".join(content)
        content, size = iter((whole,)), len(whole)
    return _part(request.range, content, size, headers)


def _part(wanted: str, content: Iterator[bytes], size: int, headers: dict[str, str]) -> Response:
    """One range of a file, as RFC 9110 has it; what cannot be understood is ignored."""
    found = re.fullmatch(r"bytes=(\d{1,18})-(\d{0,18})", wanted)
    if found is None:
        return Response(200, content, headers)
    first, last = int(found[1]), min(int(found[2] or size), size - 1)
    if first > last:
        return Response(416, b"", headers | {"Content-Range": f"bytes */{size}"})
    headers |= {"Content-Range": f"bytes {first}-{last}/{size}", "Content-Length": str(last + 1 - first)}
    return Response(206, files.part(content, first, last + 1), headers)


def _files(world: World, request: Request) -> Response:
    """Uploads newest first, then what batches left, newest batch first, as far back as files are kept."""
    limit = _limit(request, 10_000, 10_000)
    if isinstance(limit, Response):
        return limit
    purpose, cursor = request.query.get("purpose"), request.query.get("after")
    found: list[dict[str, Any]] = []
    passed = not cursor

    def add(described: dict[str, Any] | None) -> None:
        nonlocal passed
        if described and passed and purpose in (None, described["purpose"]):
            found.append(described)
        passed = passed or (described is not None and described["id"] == cursor)

    for upload in reversed(world.uploads):
        add(files.uploaded(upload))
    # A cursor that names a batch's file continues at its batch, not from the top.
    named = read_file_id(cursor, world.key) if cursor else None
    life = world.numbered(named[1]) if named and named[0] != "upload" else None
    kinds: tuple[Kind, ...] = ("output", "error", "input")
    if life and named:
        passed = True
        for kind in kinds[kinds.index(named[0]) + 1 :]:
            add(files.of_batch(life, kind, world.now()))
    now, more = world.now(), passed
    while more and len(found) <= limit:
        lives, more = world.page(life, 100)
        for life in lives:
            for kind in kinds:
                add(files.of_batch(life, kind, now))
        more = more and bool(lives) and lives[-1].created_at > now - files.KEPT_FOR
    return reply({"object": "list", "data": found[:limit], "has_more": len(found) > limit} | _ends(found[:limit]))


def _ends(data: list[dict[str, Any]]) -> dict[str, str | None]:
    return {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}


def _models(world: World, request: Request) -> Response:
    data = [{"id": model, "object": "model", "created": 1_754_425_777, "owned_by": "system"} for model in MODELS]
    return reply({"object": "list", "data": data})


def _not_allowed(world: World, request: Request) -> Response:
    says = f"Not allowed to {request.method} on {request.path}."
    return refuse(405, says, "method_not_supported")


def _unknown(world: World, request: Request) -> Response:
    return refuse(404, f"Invalid URL ({request.method} {request.path})")


_HANDLERS: dict[What, Callable[[World, Request], Response]] = {
    "list": _list,
    "retrieve": _retrieve,
    "create": _create,
    "cancel": _cancel,
    "files": _files,
    "file": _file,
    "content": _content,
    "upload": _upload,
    "models": _models,
    "not_allowed": _not_allowed,
    "unknown": _unknown,
}
