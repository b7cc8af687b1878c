"""Reads one setting at a time from the environment, or from the file that NAME_FILE names."""

import ipaddress
import os
from pathlib import Path
from typing import Any

import environ

type Network = ipaddress.IPv4Network | ipaddress.IPv6Network

ON = ("1", "true", "yes", "on", "y", "ok")


class Environment:
    def text(self, name: str, default: str = "") -> str:
        path = os.environ.get(f"{name}_FILE")
        if not path:
            return os.environ.get(name, default)
        # Editors and `echo` end a file with a line break, which is no part of the value.
        return Path(path).read_text(encoding="utf-8").strip()

    def flag(self, name: str, *, default: bool) -> bool:
        return self.text(name, "1" if default else "").lower() in ON

    def port(self, name: str, default: int) -> int:
        return int(self.text(name, str(default)))

    def networks(self, name: str) -> list[Network]:
        parts = filter(None, map(str.strip, self.text(name).split(",")))
        return [ipaddress.ip_network(part, strict=False) for part in parts]

    def database(self, name: str, default: str) -> dict[str, Any]:
        return dict(environ.Env.db_url_config(self.text(name, default)))

    def cache(self, name: str, default: str) -> dict[str, Any]:
        return dict(environ.Env.cache_url_config(self.text(name, default)))


env = Environment()
