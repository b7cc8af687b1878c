"""What vendors really send, read tolerantly: the body of an answer in, a page, a batch or a vendor's words out.

A bad record never costs its page, a bad field never its record. Facts about vendors: OpenAI's API reference for the
Batch object; what the others do differently is in the payload files under `tests/payloads`.
"""

from __future__ import annotations

import base64
import html
import re
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

from . import fields, pages
from .base import RefusedRecord, RemoteBatch, RemoteFileInfo, RemotePage, VendorError
from .record import read_record
from .scrub import scrub

MAX_ITEMS: Final = 20_000
"""Records in one page. Servers without paging send all they have; this is far above, and bounds the memory."""


def read_page(
    body: bytes,
    content_type: str = "",
    *,
    secrets: Sequence[str] = (),
    vendor_now: int | None = None,
    now: int | None = None,
) -> RemotePage:
    """A list of batches, from the body of a 2xx answer. `now` (unix seconds) decides which times are plausible.

    Raises VendorError: not_json, refused (nothing but an error inside), not_a_batch_api, too_large.
    """
    now = int(time.time()) if now is None else now
    try:
        envelope = pages.split(body, MAX_ITEMS)
    except pages.TooManyItemsError:
        raise VendorError("too_large", f"more than {MAX_ITEMS} records in one page") from None
    except ValueError:
        raise _not_json(body, content_type, secrets) from None
    if envelope.items is None:
        raise _not_a_batch(body, secrets)
    batches: list[RemoteBatch] = []
    refused: list[RefusedRecord] = []
    last_id = ""
    for item in envelope.items:
        record = read_record(bytes(item), now, secrets)
        if isinstance(record, RemoteBatch):
            batches.append(record)
        else:
            refused.append(record)
        last_id = record.remote_id or last_id
    cursor = envelope.next_page_token or last_id or envelope.last_id
    has_more = envelope.has_more
    if has_more is None:
        # As the official SDK does: without a word about it there is more, until a page is empty.
        has_more = bool(envelope.items or envelope.next_page_token) and not envelope.is_bare
    return RemotePage(batches, refused, cursor or None, has_more, vendor_now)


def read_batch(
    body: bytes,
    expected_id: str,
    content_type: str = "",
    *,
    secrets: Sequence[str] = (),
    now: int | None = None,
) -> RemoteBatch:
    """One batch, from the body of a 2xx answer to a retrieve or a cancel of `expected_id`.

    Raises VendorError: not_json, refused (nothing but an error inside), not_a_batch_api (with the record in `refused`),
    wrong_batch, too_large.
    """
    record = read_record(body.removeprefix(b"\xef\xbb\xbf").strip(), int(time.time()) if now is None else now, secrets)
    if isinstance(record, RefusedRecord):
        if record.reason == "unreadable":
            raise _not_json(body, content_type, secrets)
        if record.reason in ("too_large", "too_deep"):
            raise VendorError("too_large", record.excerpt, refused=record)
        raise _not_a_batch(body, secrets, record)
    if not same_id(record.remote_id, expected_id):
        raise VendorError("wrong_batch", scrub(f"asked for {expected_id}, got {record.remote_id}", secrets))
    record.remote_id = expected_id
    return record


def read_file(
    body: bytes, file_id: str, content_type: str = "", *, secrets: Sequence[str] = (), now: int | None = None
) -> RemoteFileInfo:
    """What a vendor says of a file, from the body of a 2xx answer. A field that cannot be read is absent.

    Raises VendorError: not_json, refused (nothing but an error inside), not_a_batch_api.
    """
    try:
        value = pages.decode(body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError:
        raise _not_json(body, content_type, secrets) from None
    if not isinstance(value, Mapping) or not {"id", "bytes", "filename"} & value.keys():
        raise _not_a_batch(body, secrets)
    now, odd = int(time.time()) if now is None else now, fields.Oddities()
    return RemoteFileInfo(
        file_id,
        fields.text(fields.pick(value, "filename", "name"), "filename", odd, 512),
        fields.text(value.get("purpose"), "purpose", odd, 64),
        fields.count(fields.pick(value, "bytes", "size"), "bytes", odd),
        fields.moment(fields.pick(value, "created_at"), "created_at", odd, now),
        fields.moment(fields.pick(value, "expires_at"), "expires_at", odd, now),
    )


def read_error(body: bytes, content_type: str = "", *, secrets: Sequence[str] = ()) -> str:
    """The vendor's own words from the body of a refusal, scrubbed, at most 500 characters; "" when there are none.

    Knows OpenAI's envelope, FastAPI's detail, Cohere's message, plain text, and the HTML of a proxy.
    """
    try:
        value = pages.decode(body[:_LONGEST_ERROR])
    except ValueError:
        return scrub(_readable(body), secrets)
    return scrub(_said(value), secrets)


_LONGEST_ERROR: Final = 64 * 1024


def _said(value: Any, levels: int = 4) -> str:
    if isinstance(value, str):
        return "" if value == "None" else value
    if levels and isinstance(value, list):
        return "; ".join(filter(None, (_said(entry, levels - 1) for entry in value[:3])))
    if not levels or not isinstance(value, Mapping):
        return ""
    for name in ("error", "detail", "message", "msg", "errors", "error_description", "title"):
        if words := _said(value.get(name), levels - 1):
            code = value.get("code")
            # A word like "integer_above_max_value" says more; "400" and "None" do not.
            return f"{words} ({code})" if isinstance(code, str) and "_" in code and code not in words else words
    code = value.get("code")
    return code if isinstance(code, str) and code != "None" else ""


def _readable(body: bytes) -> str:
    """The title of an HTML page and the text behind it; other bytes as the text they are."""
    text = body[:8_000].decode("utf-8", "replace")
    if not re.search(r"<(?:!doctype|html|head|body|title)\b", text, re.IGNORECASE):
        return text
    text = re.sub(r"<(script|style)\b[^<>]*>[^<]*</\1\s*>", " ", text, flags=re.IGNORECASE)
    return html.unescape(re.sub(r"<[^<>]*>", " ", text))


def _not_json(body: bytes, content_type: str, secrets: Sequence[str]) -> VendorError:
    kind = content_type.partition(";")[0].strip() or "no content type"
    return VendorError("not_json", scrub(f"{kind}: {scrub(_readable(body), secrets, limit=200) or 'empty'}", secrets))


def _not_a_batch(body: bytes, secrets: Sequence[str], refused: RefusedRecord | None = None) -> VendorError:
    """Tell a failure that came as a 2xx from an answer that is about something else."""
    value = pages.decode(body)
    if not isinstance(value, Mapping):
        return VendorError("not_a_batch_api", scrub(_readable(body), secrets, limit=200), refused=refused)
    words = _said(value)
    if value.get("error") and not value.keys() - {"error", "type", "code", "status", "request_id"}:
        return VendorError("refused", scrub(words, secrets), refused=refused)
    members = ", ".join(sorted(map(str, value))[:12])
    return VendorError("not_a_batch_api", scrub(words or f"members: {members}", secrets), refused=refused)


def same_id(answered: str, asked: str) -> bool:
    """Whether two ids mean one batch: equal, or one is what LiteLLM's proxy made of the other (base64 of a routing
    text; LiteLLM, `proxy/openai_files_endpoints/common_utils.py`)."""
    return answered == asked or _routed(answered) == _routed(asked)


def _routed(remote_id: str) -> str:
    for coded in (remote_id, remote_id.removeprefix("batch_")):
        try:
            text = base64.urlsafe_b64decode(coded + "=" * (-len(coded) % 4)).decode()
        except ValueError:
            continue
        if match := re.match(r"litellm(?:_proxy;(?:.*;)?llm_batch_id)?:([^;,]+)", text):
            return match[1]
    return remote_id
