"""OpenAI's Batch API, and the many servers that speak it.

Source: OpenAI's API reference, "Batch" (list, retrieve, cancel) and "Files" (retrieve, content), and the official
Python SDK 3.54 (`resources/batches.py`, `resources/files.py`, `pagination.py`).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self
from urllib.parse import quote

import httpx

from .base import Address, RemoteBatch, RemoteContent, RemoteFileInfo, RemotePage, VendorError
from .door import Answer, Door
from .guard import Resolve, look_up
from .lines import ResultLine, Unreadable, read_line
from .wire import read_batch, read_file, read_page


class OpenAI:
    """The `Dialect` of OpenAI. `transport` and `resolve` stand in for the network and for DNS in tests."""

    name = "openai"

    def __init__(
        self, address: Address, *, transport: httpx.BaseTransport | None = None, resolve: Resolve = look_up
    ) -> None:
        self._batches = "/".join(map(_segment, address.batches_path.strip("/").split("/")))
        # Beside the batches, wherever a vendor has put those.
        self._files = "/".join([*self._batches.split("/")[:-1], "files"])
        self._door = Door(address, transport=transport, resolve=resolve)

    def __repr__(self) -> str:
        return f"OpenAI({self._door!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the kept connections."""
        self._door.close()

    def list_batches(self, after: str | None = None, limit: int = 100) -> RemotePage:
        """`GET /batches?limit=&after=`: limit 1 to 100; `after` is an exclusive cursor, by default an id."""
        params = {"limit": str(limit)} | ({"after": after} if after else {})
        answer = self._door.get(self._batches, params)
        try:
            return read_page(answer.body, answer.content_type, secrets=self._door.secrets, vendor_now=answer.vendor_now)
        except VendorError as error:
            raise _told(error, answer) from None

    def retrieve(self, remote_id: str) -> RemoteBatch:
        """`GET /batches/{id}`. Other projects' batches are "not_found", as are those of a wrong path."""
        return self._one(self._door.get(f"{self._batches}/{_segment(remote_id)}"), remote_id)

    def cancel(self, remote_id: str) -> RemoteBatch:
        """`POST /batches/{id}/cancel` without a body, once.

        OpenAI answers 200 with the batch, now "cancelling", and refuses a finished one with 409 ("conflict"); others
        refuse with 400. The official SDK retries a 409: this does not. A 2xx whose body cannot be read raises too,
        with that status: the vendor has accepted all the same.
        """
        return self._one(self._door.post(f"{self._batches}/{_segment(remote_id)}/cancel"), remote_id)

    def describe_file(self, file_id: str) -> RemoteFileInfo:
        """`GET /files/{id}`. A file that expired or was deleted is "not_found"."""
        answer = self._door.get(f"{self._files}/{_segment(file_id)}")
        try:
            return read_file(answer.body, file_id, answer.content_type, secrets=self._door.secrets)
        except VendorError as error:
            raise _told(error, answer) from None

    def open_file(
        self, file_id: str, offset: int = 0, length: int | None = None
    ) -> AbstractContextManager[RemoteContent]:
        """`GET /files/{id}/content`, with a Range header for a part of it."""
        return self._door.open(f"{self._files}/{_segment(file_id)}/content", offset, length)

    def read_result(self, raw: bytes | None, number: int) -> ResultLine | Unreadable:
        """A line of OpenAI's shape, or of any other that is known."""
        return read_line(raw, number, self._door.secrets)

    def _one(self, answer: Answer, remote_id: str) -> RemoteBatch:
        try:
            return read_batch(answer.body, remote_id, answer.content_type, secrets=self._door.secrets)
        except VendorError as error:
            raise _told(error, answer) from None


def _told(error: VendorError, answer: Answer) -> VendorError:
    error.status, error.request_id = answer.status, answer.request_id
    return error


def _segment(text: str) -> str:
    """One part of a path, percent-encoded. An id that is ".." would climb out of its path."""
    return quote(text, safe="") if text.strip(".") else text.replace(".", "%2E")
