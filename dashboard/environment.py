"""Reads one setting at a time from the environment, or from the file that NAME_FILE names.

A mistake is one sentence: which setting, what it holds, what it may hold. What may be a secret is not repeated.
"""

import ipaddress
import os
import zoneinfo
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured

type Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ON = ("1", "true", "yes", "on", "y", "ok")
OFF = ("0", "false", "no", "off", "n", "")
DATABASES = ("sqlite", "postgres", "postgresql", "psql", "pgsql")


class Environment:
    def text(self, name: str, default: str = "") -> str:
        path = os.environ.get(f"{name}_FILE")
        if not path:
            return os.environ.get(name, default)
        try:
            # Editors and `echo` end a file with a line break, which is no part of the value.
            return Path(path).read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "it is not text"
            # Whoever wrote the secret itself there must not find it in a log.
            shown = repr(path) if Path(path).is_absolute() else "a file (not shown: not an absolute path)"
            raise ImproperlyConfigured(f"{name}_FILE names {shown}, which cannot be read: {reason}.") from None

    def choice(self, name: str, default: str, choices: tuple[str, ...]) -> str:
        """One of the choices, in whatever case it was written."""
        given = self.text(name, default)
        for choice in choices:
            if given.lower() == choice.lower():
                return choice
        raise mistake(name, given, f"{', '.join(choices[:-1])} or {choices[-1]}")

    def flag(self, name: str, *, default: bool) -> bool:
        given = self.text(name, "1" if default else "0")
        if given.lower() not in ON + OFF:
            raise mistake(name, given, "1 (on) or 0 (off)")
        return given.lower() in ON

    def number(self, name: str, default: int, least: int, most: int, unit: str) -> int:
        """A whole number of what `unit` names."""
        given = self.text(name, str(default))
        if not (given.isascii() and given.isdigit() and least <= int(given[:20]) <= most):
            raise mistake(name, given, f"{unit} from {least} to {most}")
        return int(given)

    def zone(self, name: str, default: str) -> str:
        given = self.text(name, default)
        try:
            zoneinfo.ZoneInfo(given)
        except (KeyError, ValueError, OSError):
            raise mistake(name, given, "the name of a time zone, such as Europe/Berlin") from None
        return given

    def networks(self, name: str) -> list[Network]:
        given = self.text(name)
        try:
            return [ipaddress.ip_network(part, strict=False) for part in filter(None, map(str.strip, given.split(",")))]
        except ValueError:
            raise mistake(name, given, "networks, such as 127.0.0.1/32,10.0.0.0/8") from None

    def pairs(self, name: str, rights: tuple[str, ...]) -> dict[str, str]:
        """What stands before each `=`, with what stands right of it, which is one of `rights`."""
        pairs = [part.rpartition("=") for part in filter(None, map(str.strip, self.text(name).split(",")))]
        found = {left.strip(): right.strip().lower() for left, _equals, right in pairs}
        if not all(found) or not set(found.values()) <= set(rights):
            raise mistake(name, self.text(name), f"pairs such as llm-team={rights[0]}, of {', '.join(rights)}")
        return found

    def database(self, name: str, default: str) -> dict[str, Any]:
        given = self.text(name, default)
        wanted = "a database's address, such as postgres://user:password@host/batches"
        if given.partition("://")[0] not in DATABASES:
            raise mistake(name, None, wanted)
        try:
            found = dict(environ.Env.db_url_config(given))
        except (ValueError, ImproperlyConfigured):
            raise mistake(name, None, wanted) from None
        if not found.get("NAME"):
            raise mistake(name, None, wanted)
        return found

    def cache(self, name: str, default: str) -> dict[str, Any]:
        try:
            return dict(environ.Env.cache_url_config(self.text(name, default)))
        except (ValueError, ImproperlyConfigured):
            raise mistake(name, None, "a cache's address, such as rediscache://host:6379/1") from None


def mistake(name: str, given: str | None, wanted: str) -> ImproperlyConfigured:
    """`given` is None where the value may hold a password."""
    held = "cannot be read (its value is not shown)" if given is None else f"is {given!r}"
    return ImproperlyConfigured(f"{name} {held}; it can be {wanted}.")


env = Environment()
