"""Everything that has been seen to go wrong between a client and a Batch API.

A new fault is one function here, or in file_faults.py if it spoils the contents of files: `@before` may change a
request or answer in its place, `@after` changes the answer. Without arguments they hit every request, else those of the
kinds named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import msgspec

from dashboard.simulator import file_faults
from dashboard.simulator.answers import Request, Response, bad_key, no_batch, no_scope, refuse, reply
from dashboard.simulator.switches import KINDS, Fault, after, before

if TYPE_CHECKING:
    from dashboard.simulator.world import World

__all__ = ["KINDS", "file_faults"]  # to import those is to register them, too

BATCHES = ("list", "retrieve", "cancel", "create")


@before()
def rate_limit(request: Request, fault: Fault, world: World) -> Response:
    """429 with Retry-After; value: seconds (2)."""
    message = "Rate limit reached for requests. Please slow down."
    response = refuse(429, message, "rate_limit_exceeded", kind="requests")
    response.headers["Retry-After"] = f"{fault.number(2):g}"
    return response


@before()
def server_error(request: Request, fault: Fault, world: World) -> Response:
    """OpenAI's 500; value: another status."""
    message = "The server had an error while processing your request. Sorry about that!"
    return refuse(int(fault.number(500)), message, kind="server_error")


@before()
def gateway(request: Request, fault: Fault, world: World) -> Response:
    """502 with the HTML of a proxy."""
    return _html(502, "502 Bad Gateway")


@before()
def html(request: Request, fault: Fault, world: World) -> Response:
    """200 with the sign-in page of a proxy."""
    return _html(200, "Sign in to the network")


@before()
def not_json(request: Request, fault: Fault, world: World) -> Response:
    """200 that says it is JSON and is cut short."""
    return Response(200, b'{"object":"list","data":[{"id":"batch_')


@before()
def error_200(request: Request, fault: Fault, world: World) -> Response:
    """200 that holds only an error."""
    return Response(200, refuse(500, "upstream error", kind="server_error").body)


@before()
def slow(request: Request, fault: Fault, world: World) -> None:
    """Waits before it answers; value: seconds (2)."""
    world.closing.wait(fault.number(2))


@before()
def hang(request: Request, fault: Fault, world: World) -> Response:
    """Never answers; value: seconds until it gives up (3600)."""
    world.closing.wait(fault.number(3600))
    return Response(200, _broken(b""))


@before()
def unauthorized(request: Request, fault: Fault, world: World) -> Response:
    """401, as if the key had been revoked."""
    return bad_key(request.authorization.removeprefix("Bearer "))


@before()
def not_found(request: Request, fault: Fault, world: World) -> Response:
    """404 for every address, as under a wrong base URL."""
    return refuse(404, f"Invalid URL ({request.method} {request.path})")


@before()
def redirect(request: Request, fault: Fault, world: World) -> Response:
    """307 to another place; value: the base URL of that place (http://127.0.0.1:9)."""
    headers = {"Location": (fault.value or "http://127.0.0.1:9") + request.path, "Content-Type": "text/plain"}
    return Response(307, b"", headers)


@before("create", "cancel", "upload")
def read_only(request: Request, fault: Fault, world: World) -> Response:
    """403, as for a key that may read only."""
    return no_scope("api.files.write" if request.what == "upload" else "api.batch.write")


@before("cancel")
def refuse_cancel(request: Request, fault: Fault, world: World) -> Response:
    """409 whatever the batch does; value: the status it names (finalizing)."""
    return refuse(409, f"Cannot cancel a batch with status '{fault.value or 'finalizing'}'.")


@after("cancel", "create")
def lost_answer(request: Request, response: Response, fault: Fault, world: World) -> None:
    """The act happens but the connection breaks before its answer."""
    disconnect(request, response, fault, world)


@before("list")
def loop(request: Request, fault: Fault, world: World) -> None:
    """Ignores the cursor: page one again and again, and has_more for ever."""
    request.query.pop("after", None)


@after("list")
def _loop(request: Request, response: Response, fault: Fault, world: World) -> None:
    if page := _decoded(response):
        page["has_more"] = True
        response.body = msgspec.json.encode(page)


@before("list")
def alternate(request: Request, fault: Fault, world: World) -> None:
    """The first two pages in turn, each with a token that was never sent before, and has_more for ever."""
    token = re.fullmatch(r"turn_(\d{1,9})", request.query.pop("after", ""))
    turn = int(token[1]) if token else 0
    request.query["turn"] = f"{turn}"
    first, _more = world.page(None, int(request.query.get("limit", "20")))
    if turn % 2 and first:
        request.query["after"] = first[-1].id


@after("list")
def _alternate(request: Request, response: Response, fault: Fault, world: World) -> None:
    if page := _decoded(response):
        token = f"turn_{int(request.query['turn']) + 1}"
        response.body = msgspec.json.encode(page | {"has_more": True, "next_page_token": token})


@before("list")
def empty_more(request: Request, fault: Fault, world: World) -> Response | None:
    """After the first page an empty one that has_more."""
    empty: dict[str, Any] = {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": True}
    return reply(empty) if request.query.get("after") else None


@before("list")
def restart(request: Request, fault: Fault, world: World) -> None:
    """An unknown cursor gives page one instead of an error."""
    if world.find(request.query.get("after", "")) is None:
        request.query.pop("after", None)


@before("list")
def oldest_first(request: Request, fault: Fault, world: World) -> None:
    """The list begins with the oldest batch, and new ones come at its end."""
    request.oldest_first = True


@before("list")
def stale_list(request: Request, fault: Fault, world: World) -> None:
    """The list shows a batch as it was when last retrieved."""
    request.as_of = lambda life: max(world.start, world.retrieved.get(life.id, life.created_at))


@before()
def vanish(request: Request, fault: Fault, world: World) -> Response | None:
    """One batch answers 404 and is left out of lists; value: its id."""
    return no_batch(request.id) if request.id and request.id == fault.value else None


@after("list")
def _vanish(request: Request, response: Response, fault: Fault, world: World) -> None:
    if page := _decoded(response):
        page["data"] = [batch for batch in page["data"] if batch["id"] != fault.value]
        response.body = msgspec.json.encode(page)


@after()
def disconnect(request: Request, response: Response, fault: Fault, world: World) -> None:
    """Promises a whole body and closes in the middle of it."""
    whole = response.body if isinstance(response.body, bytes) else b"".join(response.body)
    response.headers["Content-Length"] = str(len(whole))
    response.body = _broken(whole[: len(whole) // 2])


@after()
def huge(request: Request, response: Response, fault: Fault, world: World) -> None:
    """Blanks without end ahead of the JSON; value: megabytes (100)."""
    whole = response.body if isinstance(response.body, bytes) else b"".join(response.body)
    megabytes = int(fault.number(100))
    response.body = (part for parts in ((b" " * 1_000_000 for _ in range(megabytes)), (whole,)) for part in parts)


@after()
def deep(request: Request, response: Response, fault: Fault, world: World) -> None:
    """JSON nested beyond reason; value: levels (100000)."""
    levels = int(fault.number(100_000))
    response.body = b'{"object":"list","data":' + b"[" * levels + b"]" * levels + b"}"


@after()
def skew(request: Request, response: Response, fault: Fault, world: World) -> None:
    """The server's own clock is wrong in its Date header; value: seconds it is ahead (90)."""
    response.headers["Date"] = formatdate(world.now() + fault.number(90), usegmt=True)


@after("list")
def list_lacks_counts(request: Request, response: Response, fault: Fault, world: World) -> None:
    """The list leaves request_counts out; a retrieve has them."""
    _each(response, lambda n, batch: batch.pop("request_counts"))


@after("list")
def null_data(request: Request, response: Response, fault: Fault, world: World) -> None:
    """The list's data is null."""
    if page := _decoded(response):
        response.body = msgspec.json.encode(page | {"data": None})


@after("list")
def bare_array(request: Request, response: Response, fault: Fault, world: World) -> None:
    """The list is an array without an envelope."""
    if page := _decoded(response):
        response.body = msgspec.json.encode(page["data"])


@after("list")
def bad_records(request: Request, response: Response, fault: Fault, world: World) -> None:
    """Of every five records the first lacks its id, the second its status, the third says that it is a file."""

    def spoil(n: int, batch: dict[str, Any]) -> None:
        match n % 5:
            case 0:
                del batch["id"]
            case 1:
                del batch["status"]
            case 2:
                batch["object"] = "file"

    _each(response, spoil)


@after(*BATCHES)
def odd_fields(request: Request, response: Response, fault: Fault, world: World) -> None:
    """A time in 1970, negative counts, errors as a string."""
    odd = {
        "in_progress_at": 0,
        "request_counts": {"total": 10, "completed": -3, "failed": "two"},
        "errors": "something went wrong",
    }
    _each(response, lambda n, batch: batch.update(odd))


@after(*BATCHES)
def camel_case(request: Request, response: Response, fault: Fault, world: World) -> None:
    """Keys as generated JavaScript clients spell them."""
    if (value := _decoded(response)) is not None:
        response.body = msgspec.json.encode(_camel(value))


@after(*BATCHES)
def late_output(request: Request, response: Response, fault: Fault, world: World) -> None:
    """Output and error files are not named yet, even when completed."""
    _each(response, lambda n, batch: batch.update(output_file_id=None, error_file_id=None))


@after("retrieve", "cancel")
def wrong_id(request: Request, response: Response, fault: Fault, world: World) -> None:
    """Answers with another batch's id, as a mixed-up cache does."""
    _each(response, lambda n, batch: batch.update(id="batch_" + "0" * 32))


@after(*BATCHES)
def strange_status(request: Request, response: Response, fault: Fault, world: World) -> None:
    """Open batches have a status nobody has heard of; value: that status (scheduling)."""
    final = ("completed", "failed", "expired", "cancelled")
    odd = {"status": fault.value or "scheduling"}
    _each(response, lambda n, batch: batch.update({} if batch["status"] in final else odd))


def _html(status: int, title: str) -> Response:
    page = f"<!doctype html><html><head><title>{title}</title></head><body><h1>{title}</h1></body></html>"
    return Response(status, page.encode(), {"Content-Type": "text/html; charset=utf-8"})


def _broken(start: bytes) -> Iterator[bytes]:
    yield start
    raise ConnectionAbortedError


def _decoded(response: Response) -> dict[str, Any] | None:
    """The JSON object of a good answer; refusals stay as they are."""
    if response.status != 200 or not isinstance(response.body, bytes):
        return None
    value = msgspec.json.decode(response.body)
    return value if isinstance(value, dict) else None


def _each(response: Response, change: Callable[[int, dict[str, Any]], object]) -> None:
    """Changes every batch of an answer in place, be it a list or a single one."""
    if (value := _decoded(response)) is not None:
        data = value["data"] if value.get("object") == "list" else [value]
        for n, batch in enumerate(data):
            change(n, batch)
        response.body = msgspec.json.encode(value)


def _camel(value: Any) -> Any:
    if isinstance(value, list):
        return [_camel(item) for item in value]
    if not isinstance(value, dict):
        return value
    # Metadata keys belong to the user; no generator renames them.
    return {
        re.sub(r"_(\w)", lambda m: m[1].upper(), key): item if key == "metadata" else _camel(item)
        for key, item in value.items()
    }
