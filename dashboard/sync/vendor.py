"""From a connection's row to an open dialect: where the key is unsealed, just before it is used."""

from dataclasses import replace
from typing import Literal, cast

from django.conf import settings

from dashboard import vault
from dashboard.dialects import DIALECTS, open_dialect
from dashboard.dialects.base import Address, Dialect
from dashboard.models import Connection

type AuthStyle = Literal["bearer", "api-key", "none"]  # the values of Connection.AuthStyle
DIALECT_CHOICES = [(name, label) for name, (label, _kind) in DIALECTS.items()]


class KeyUnavailable(Exception):
    """There is no key to use. `kind` is key_lost (the encryption key that sealed it is gone) or key_missing."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


def open_vendor(connection: Connection, *, for_acts: bool = False, seconds: float | None = None) -> Dialect:
    """A dialect at the connection's address, to be used as a context manager.

    `seconds` bounds a whole call where somebody waits for it. Raises KeyUnavailable, and VendorError for an address
    that is not allowed.
    """
    try:
        key = connection.act_key if for_acts else connection.key
    except vault.KeyLost as error:
        raise KeyUnavailable("key_lost") from error
    if not key and connection.auth_style != Connection.AuthStyle.NONE:
        raise KeyUnavailable("key_missing")
    address = Address(
        base_url=connection.base_url,
        batches_path=connection.batches_path,
        key=key,
        auth_style=cast("AuthStyle", connection.auth_style),
        organization=connection.organization,
        project=connection.project,
        extra_headers=connection.extra_headers,
        allow_private=settings.ALLOW_PRIVATE,
    )
    if seconds is not None:
        address = replace(
            address,
            read_seconds=min(seconds, address.read_seconds),
            total_seconds=seconds,
            cancel_seconds=min(seconds, address.cancel_seconds),
            file_seconds=seconds,
        )
    return open_dialect(connection.dialect, address)
