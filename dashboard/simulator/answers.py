"""Requests as the app reads them, and answers in OpenAI's words."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from dashboard.simulator.batches import Life

# What a request wants; "unknown" is any address that the API does not have.
What = Literal[
    "list", "retrieve", "create", "cancel", "files", "file", "content", "upload", "models", "not_allowed", "unknown"
]

_ROUTES: tuple[tuple[str, dict[str, What]], ...] = (
    (r"/v1/batches", {"GET": "list", "POST": "create"}),
    (r"/v1/batches/([^/]+)", {"GET": "retrieve"}),
    (r"/v1/batches/([^/]+)/cancel", {"POST": "cancel"}),
    (r"/v1/files", {"GET": "files", "POST": "upload"}),
    (r"/v1/files/([^/]+)", {"GET": "file"}),
    (r"/v1/files/([^/]+)/content", {"GET": "content"}),
    (r"/v1/models", {"GET": "models"}),
)
_COMPILED = [(re.compile(pattern), methods) for pattern, methods in _ROUTES]


@dataclass(slots=True)
class Request:
    """One request, routed. Faults may change its `query` and what follows `id` before it is answered."""

    method: str
    path: str
    query: dict[str, str]
    authorization: str
    content_type: str
    body: bytes
    what: What = "unknown"
    id: str = ""  # of the batch or file in the path
    # The moment at which a list shows a batch; None means now.
    as_of: Callable[[Life], float] | None = None
    oldest_first: bool = False
    range: str = ""
    accept_encoding: str = ""
    # What faults make of a file's content, before any part of it is cut out.
    changes: list[Callable[[Iterator[bytes]], Iterator[bytes]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        for pattern, methods in _COMPILED:
            if found := pattern.fullmatch(self.path):
                self.what = methods.get(self.method, "not_allowed")
                self.id = found[1] if found.groups() else ""
                return


@dataclass(slots=True)
class Response:
    """An answer; a body that is not bytes is sent in pieces as it is made."""

    status: int
    body: bytes | Iterator[bytes]
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


def refuse(
    status: int,
    message: str,
    code: str | None = None,
    param: str | None = None,
    kind: str = "invalid_request_error",
) -> Response:
    """OpenAI's error envelope, all four members always present."""
    error = {"message": message, "type": kind, "param": param, "code": code}
    return Response(status, msgspec.json.encode({"error": error}))


def reply(value: Any) -> Response:
    """A value as JSON with status 200."""
    return Response(200, msgspec.json.encode(value))


def bad_key(key: str) -> Response:
    """The refusal of a key that OpenAI does not know; it shows both ends of the key."""
    shown = key if len(key) < 12 else f"{key[:8]}{'*' * (len(key) - 12)}{key[-4:]}"
    where = "You can find your API key at https://platform.openai.com/account/api-keys."
    return refuse(401, f"Incorrect API key provided: {shown}. {where}", "invalid_api_key")


def no_scope(scope: str) -> Response:
    """The refusal of a key that may read only."""
    return refuse(
        403,
        f"You have insufficient permissions for this operation. Missing scopes: {scope}. Check that you "
        "have the correct role in your organization and project, and if you're using a restricted API key, that it has "
        "the necessary scopes.",
    )


def no_batch(text: str) -> Response:
    """The answer for a batch that does not exist, or that another project owns."""
    return refuse(404, f"No batch found with id '{text}'.")
