"""What a log line and an error page may say. Keys and one-time tokens are taken out here, whoever wrote the line."""

import json
import logging
import re
from datetime import UTC, datetime
from types import FrameType
from typing import Any

from django.http import HttpRequest
from django.views.debug import ExceptionReporter, SafeExceptionReporterFilter

SECRETS = re.compile(
    r"""(?ix)
    \b(?:sk|rk|pk|gsk|xai|orq|key)[-_][a-z0-9_\-]{8,}   # vendors' keys
    | (?<=bearer\ )[^\s'",]+
    | (?<=api-key[:=]\ )[^\s'",]+
    | (?<=[?&]token=)[^\s&'"]+                          # one-time sign-in links
    | (?<=://)[^/\s:@]*:[^/\s@]+(?=@)                   # credentials inside an address
    """
)


def scrubbed(text: str) -> str:
    """The text with everything that looks like a key, a token or a password replaced by '[hidden]'."""
    return SECRETS.sub("[hidden]", text)


class TextFormatter(logging.Formatter):
    """One readable line: time (UTC), level, logger, message."""

    def __init__(self) -> None:
        super().__init__("{asctime} {levelname:<7} {name}: {message}", style="{")

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802 (logging's name)
        return datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def format(self, record: logging.LogRecord) -> str:
        return scrubbed(super().format(record))


class JsonFormatter(TextFormatter):
    """One JSON object a line, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": self.formatTime(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return scrubbed(json.dumps(line, ensure_ascii=False))


class Routes(logging.Filter):
    """Django's lines about a request ("Not Found: /path") say the route instead: a token may stand in the path."""

    def filter(self, record: logging.LogRecord) -> bool:
        request = getattr(record, "request", None)
        if isinstance(request, HttpRequest):
            match = request.resolver_match
            route = f"/{match.route}" if match else "(no such page)"
            if isinstance(record.args, tuple):
                escaped = request.path.encode("unicode_escape").decode("ascii")  # as Django wrote it
                record.args = tuple(route if arg == escaped else arg for arg in record.args)
            # A refusal is no fault of ours: where it was raised is of no interest.
            if getattr(record, "status_code", 500) < 500:
                record.exc_info = None
        return True


class Hidden(SafeExceptionReporterFilter):
    """Hides what was posted, the settings and every local variable: vendors' keys pass through all three.

    Django hides only what is named like a secret, and nothing at all when DEBUG is on.
    """

    def is_active(self, request: HttpRequest | None) -> bool:
        return True

    def get_safe_settings(self) -> dict[str, Any]:
        return {}

    def get_safe_request_meta(self, request: HttpRequest | None) -> dict[str, Any]:
        safe: dict[str, Any] = super().get_safe_request_meta(request) if request else {}
        return {name: value for name, value in safe.items() if name != "QUERY_STRING"}

    def get_post_parameters(self, request: HttpRequest | None) -> dict[str, Any]:
        return dict.fromkeys(request.POST, self.cleansed_substitute) if request else {}

    def get_traceback_frame_variables(self, request: HttpRequest | None, tb_frame: FrameType) -> Any:
        return []


class Reporter(ExceptionReporter):
    """Django's error page of DEBUG, without the query, where one-time tokens stand, and scrubbed like a log line."""

    def get_traceback_data(self) -> dict[str, Any]:
        data: dict[str, Any] = super().get_traceback_data()
        data["request_GET_items"] = [(name, "[hidden]") for name in self.request.GET] if self.request else []
        data["request_insecure_uri"] = self.request.path if self.request else ""
        data["exception_value"] = scrubbed(str(data.get("exception_value", "")))
        return data
