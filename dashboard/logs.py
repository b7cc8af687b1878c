"""What a log line may say. Keys and one-time tokens are taken out here, whoever wrote the line."""

import json
import logging
import re
from datetime import UTC, datetime

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
