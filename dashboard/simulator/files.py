"""Files: what was uploaded, and what batches leave behind, made line by line when it is read."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec

from dashboard.simulator.batches import DAY, Life, failures, processed, status
from dashboard.simulator.ids import Kind, file_id
from dashboard.simulator.jobs import CHAT, EMBEDDINGS, MODERATIONS, RESPONSES, Refusal

_LINES_PER_BLOCK = 500
_MASK = (1 << 128) - 1
KEPT_FOR = 30 * DAY  # seconds after the end of a batch, as OpenAI keeps its output

_ANSWERS = (
    "The customer reports a late delivery and asks for a refund of the shipping fee.",
    "Positive. Main topics: battery life, build quality.",
    "Category: billing. Urgency: low. No personal data found.",
    "The clause limits liability to direct damages and excludes lost profits.",
    "No anomaly. The restart at 03:12 matches the maintenance window.",
)

_REPEATED = "You sent a question about an order that has not arrived and asked for an answer in one sentence. "

_UNREACHED = {
    "expired": ("batch_expired", "This request could not be executed before the completion window expired."),
    "cancelled": ("batch_cancelled", "This request was not executed because the batch was cancelled."),
}


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that somebody sent."""

    id: str
    number: int
    filename: str
    purpose: str
    content: bytes
    created_at: int


def check(content: bytes, endpoint: str) -> tuple[list[str], str, list[dict[str, Any]]]:
    """Reads an input file: its custom_ids, the model (as inside JSON quotes), and what is wrong (`errors.data`)."""
    custom_ids: dict[str, None] = {}
    model = ""
    errors: list[dict[str, Any]] = []

    def wrong(line: int | None, code: str, message: str, param: str | None = None) -> None:
        errors.append({"code": code, "message": message, "param": param, "line": line})

    for number, text in enumerate(content.splitlines(), 1):
        if not text.strip():
            continue
        try:
            request = msgspec.json.decode(text, type=dict[str, Any])
        except (msgspec.DecodeError, UnicodeDecodeError):
            wrong(number, "invalid_json_line", "This line is not parseable as valid JSON.")
            continue
        custom_id, body = request.get("custom_id"), request.get("body")
        if not isinstance(custom_id, str) or not custom_id:
            wrong(number, "missing_required_parameter", "Missing required parameter: 'custom_id'.", "custom_id")
        elif custom_id in custom_ids:
            says = f"The custom_id '{custom_id}' for this request is a duplicate of another request."
            wrong(number, "duplicate_custom_id", says, "custom_id")
        elif request.get("url") != endpoint:
            wrong(number, "invalid_url", "The URL provided for this request does not match the batch endpoint.", "url")
        elif not isinstance(body, dict) or not isinstance(body.get("model"), str):
            wrong(number, "missing_required_parameter", "Missing required parameter: 'model'.", "body.model")
        else:
            custom_ids[custom_id] = None
            model = model or msgspec.json.encode(body["model"]).decode()[1:-1]
    if not custom_ids and not errors:
        wrong(None, "empty_file", "The input file is empty. Please ensure that it contains at least one request.")
    # OpenAI stops at some point as well; a dashboard never needs more.
    return list(custom_ids), model, errors[:50]


def uploaded(file: Upload) -> dict[str, Any]:
    """The file object of an upload."""
    return _describe(file.id, file.purpose, file.filename, len(file.content), file.created_at)


def of_batch(life: Life, kind: Kind, now: float) -> dict[str, Any] | None:
    """The file object of one of a batch's files, or None while it does not exist or when its time is over."""
    if now > life.ends + KEPT_FOR or (kind == "input" and life.input_file_id):
        return None
    succeeded, lost = _line_counts(life, now)
    if kind == "input":
        name, size, created = f"{life.job.name}.jsonl", _size(life, "input", life.total), life.created_at - 20
        return _describe(file_id(life.code, "input"), "batch", name, size, created)
    if now < life.ends or not (succeeded if kind == "output" else lost):
        return None
    size = _size(life, kind, succeeded if kind == "output" else lost)
    return _describe(file_id(life.code, kind), "batch_output", f"{life.id}_{kind}.jsonl", size, int(life.ends))


def part(content: Iterator[bytes], first: int, end: int) -> Iterator[bytes]:
    """The bytes from `first` up to but without `end`."""
    at = 0
    for block in content:
        if at + len(block) > first:
            yield block[max(0, first - at) : end - at]
        at += len(block)
        if at >= end:
            return


def content(life: Life, kind: Kind) -> Iterator[bytes]:
    """The lines of a batch's file in blocks, after it has ended."""
    block: list[str] = []
    for line in _lines(life, kind):
        block.append(line)
        if len(block) == _LINES_PER_BLOCK:
            yield "".join(block).encode()
            block.clear()
    yield "".join(block).encode()


def _describe(text: str, purpose: str, filename: str, size: int, created_at: int) -> dict[str, Any]:
    return {
        "object": "file",
        "id": text,
        "purpose": purpose,
        "filename": filename,
        "bytes": size,
        "created_at": created_at,
        "expires_at": created_at + KEPT_FOR,
        "status": "processed",
        "status_details": None,
    }


def _line_counts(life: Life, now: float) -> tuple[int, int]:
    """How many lines the output and the error file of a batch have."""
    if status(life, now) == "failed":
        return 0, 0
    done = processed(life, now)
    succeeded = done - failures(life, done)
    return succeeded, life.total - succeeded


def _size(life: Life, kind: Kind, lines: int) -> int:
    """Bytes of a file. All numbers are of fixed width and texts rotate, so that a derived file need not be written."""
    if life.custom_ids is not None:
        return sum(len(line) for line in _lines(life, kind))
    if life.line_bytes and kind == "error":
        return lines * life.line_bytes
    if kind != "error":
        return _rotated([len(_line(life, kind, n)) for n in range(len(_ANSWERS))], lines)
    failed = failures(life, processed(life, life.ends))
    rest = len(_unreached(life, 0)) * (lines - failed) if lines > failed else 0
    return rest + _rotated([len(_refused(life, 0, n)) for n in range(len(life.job.refusals))], failed)


def _rotated(lengths: list[int], lines: int) -> int:
    """The sum of so many lengths when they take turns."""
    return sum(length * len(range(n, lines, len(lengths))) for n, length in enumerate(lengths))


def _lines(life: Life, kind: Kind) -> Iterable[str]:
    if kind == "input":
        return (_line(life, kind, n) for n in range(life.total))
    if life.end == "failed":
        return ()
    return _output(life) if kind == "output" else _errors(life)


def _output(life: Life) -> Iterator[str]:
    written = 0
    for n, failed in _tried(life):
        if not failed:
            yield _line(life, "output", n, written)
            written += 1


def _errors(life: Life) -> Iterator[str]:
    done = written = 0
    for n, failed in _tried(life):
        done += 1
        if failed:
            yield _refused(life, n, written)
            written += 1
    for n in range(done, life.total):
        yield _unreached(life, n)


def _refused(life: Life, n: int, written: int) -> str:
    """The line of a request that failed; `written` lines are above it, which choose how."""
    refusal = life.job.refusals[written % len(life.job.refusals)]
    unique = _request_id(life, n)[10:]
    if life.line_bytes:
        form = _form(refusal, life.line_bytes, len(_custom_id(life, n)))
        return form % (unique, _custom_id(life, n), unique[::-1], n * 7919 % 100_000)
    return _told(refusal, unique, _custom_id(life, n), _request_id(life, ~n)[10:], refusal.message)


def _told(refusal: Refusal, unique: str, custom_id: str, request_id: str, message: str) -> str:
    error = {"message": message, "type": refusal.type, "param": refusal.param, "code": refusal.code}
    body = msgspec.json.encode({"error": error}).decode()
    return (
        f'{{"id":"batch_req_{unique}","custom_id":{custom_id},"response":{{"status_code":'
        f'{refusal.status_code},"request_id":"{request_id}","body":{body}}},"error":null}}\n'
    )


@cache
def _form(refusal: Refusal, length: int, id_length: int) -> str:
    """A line of so many bytes, to be filled in: made once, because a file has a hundred megabytes of these."""
    # As vendors do who repeat the request in the error; every number is another one.
    message = f"{refusal.message} Your request had %05d tokens: "
    fixed = len(_told(refusal, "", "", "", message)) - len("%05d") + 2 * 32 + 5 + id_length
    padding = (_REPEATED * (length // len(_REPEATED) + 1))[: length - fixed]
    return _told(refusal, "%s", "%s", "%s", message + padding)


def _unreached(life: Life, n: int) -> str:
    """The line of a request whose turn never came."""
    code, message = _UNREACHED[life.end]
    return (
        f'{{"id":"{_request_id(life, n)}","custom_id":{_custom_id(life, n)},"response":null,'
        f'"error":{{"code":"{code}","message":"{message}"}}}}\n'
    )


def _tried(life: Life) -> Iterator[tuple[int, bool]]:
    """The requests that were executed, and whether each failed, by the same rule as the counts."""
    before = 0
    for n in range(processed(life, life.ends)):
        after = failures(life, n + 1)
        yield n, after > before
        before = after


def _custom_id(life: Life, n: int) -> str:
    if life.custom_ids is not None:
        return msgspec.json.encode(life.custom_ids[n]).decode()
    return f'"{life.job.name}-{n:06d}"'


def _request_id(life: Life, n: int) -> str:
    return f"batch_req_{(life.code + n) * 0x9E3779B97F4A7C15F39CC0605CEDC835 & _MASK:032x}"


def _line(life: Life, kind: Kind, n: int, written: int | None = None) -> str:
    """A line of an input or output file; `written` lines are above it, which choose its text."""
    job = life.job
    text = _ANSWERS[(n if written is None else written) % len(_ANSWERS)]
    if kind == "input":
        asks = '"messages":[{"role":"user","content":' if job.endpoint == CHAT else '"input":'
        body = f'{{"model":"{job.model}",{asks}"{text}"{"}]" if job.endpoint == CHAT else ""}}}'
        return f'{{"custom_id":{_custom_id(life, n)},"method":"POST","url":"{job.endpoint}","body":{body}}}\n'
    read, wrote = job.tokens[:2]
    unique = _request_id(life, n)[10:]
    if job.endpoint == EMBEDDINGS:
        vector = '{"object":"embedding","index":0,"embedding":[0.0123,-0.0456,0.0789]}'
        body = f'"object":"list","data":[{vector}],"model":"{job.model}"'
        usage = f'"prompt_tokens":{read},"total_tokens":{read}'
    elif job.endpoint == RESPONSES:
        says = f'[{{"type":"output_text","text":"{text}","annotations":[]}}]'
        body = (
            f'"id":"resp_{unique}","object":"response","status":"completed","model":"{job.model}",'
            f'"output":[{{"type":"message","role":"assistant","status":"completed","content":{says}}}]'
        )
        usage = f'"input_tokens":{read},"output_tokens":{wrote},"total_tokens":{read + wrote}'
    elif job.endpoint == MODERATIONS:
        body = f'"id":"modr-{unique}","model":"{job.model}","results":[{{"flagged":false}}]'
        usage = ""
    else:
        message = f'{{"role":"assistant","content":"{text}","refusal":null}}'
        body = (
            f'"id":"chatcmpl-{unique}","object":"chat.completion","created":{life.created_at},"model":"{job.model}",'
            f'"choices":[{{"index":0,"message":{message},"logprobs":null,"finish_reason":"stop"}}]'
        )
        usage = f'"prompt_tokens":{read},"completion_tokens":{wrote},"total_tokens":{read + wrote}'
    usage = f',"usage":{{{usage}}}' if usage else ""
    return (
        f'{{"id":"batch_req_{unique}","custom_id":{_custom_id(life, n)},"response":{{"status_code":200,'
        f'"request_id":"{unique}","body":{{{body}{usage}}}}},"error":null}}\n'
    )


def parse_upload(body: bytes, content_type: str) -> dict[str, tuple[str, bytes]] | None:
    """The parts of a multipart form: name to (file name, content). None when it is no form."""
    boundary = re.search(r'boundary="?([^";]+)"?', content_type)
    if not content_type.startswith("multipart/form-data") or not boundary:
        return None
    parts: dict[str, tuple[str, bytes]] = {}
    # Every delimiter but the first follows a line break that is not part of the content.
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary[1].encode())[1:]:
        head, _, inside = part.partition(b"\r\n\r\n")
        name = re.search(rb'[; ]name="([^"]*)"', head)
        if name:
            filename = re.search(rb'filename="([^"]*)"', head)
            parts[name[1].decode()] = (filename[1].decode(errors="replace") if filename else "", inside)
    return parts
