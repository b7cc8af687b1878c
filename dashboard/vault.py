"""Vendors' keys at rest. Fernet with rotation: the first encryption key encrypts, every one of them decrypts."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class KeyLost(Exception):
    """What is stored opens with none of today's encryption keys; the vendor's key must be entered again."""


def _fernet() -> MultiFernet:
    try:
        return MultiFernet([Fernet(key) for key in settings.ENCRYPTION_KEYS])
    except ValueError as error:
        raise ImproperlyConfigured(
            "DASHBOARD_ENCRYPTION_KEYS holds something that is not an encryption key. Each key is 32 bytes in URL-safe "
            "base64, as `manage.py encryption_key --new` prints. Nothing stored was changed."
        ) from error


def seal(secret: str) -> str:
    """The secret, encrypted with the newest encryption key. An empty secret stays empty."""
    return _fernet().encrypt(secret.encode()).decode() if secret else ""


def unseal(sealed: str) -> str:
    """The secret again. Raises KeyLost when none of today's encryption keys opens it."""
    if not sealed:
        return ""
    try:
        return _fernet().decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise KeyLost from error


def reseal(sealed: str) -> str:
    """The same secret under the newest encryption key. Raises KeyLost."""
    if not sealed:
        return ""
    try:
        return _fernet().rotate(sealed.encode()).decode()
    except InvalidToken as error:
        raise KeyLost from error
