"""Words of strangers made fit to show and to log: no keys, no people, no control characters."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from string import ascii_letters, digits
from urllib.parse import quote

MASK = "[…]"

# Shorter "keys" (a local server's "x") are no secrets, and masking them would eat ordinary words.
SHORTEST_SECRET = 4
# This many characters of our key in a row are taken as a leak of it, whatever stands around them.
_WINDOW = 8

_KEY_CHARACTERS = frozenset(ascii_letters + digits + "-_.*+/=")

# All but addresses of e-mail. The look at the first letter, which lists those of all that follow, spares trying each of
# them at every word.
_KEYS = r"""
      (?P<user>://)[^\s/@]+@                                             # credentials inside an address
    | \b(?=[abcefghnoprstuwx])(?:
        (?P<auth>(?:bearer|basic)\s+)[^\s"',;<>]{8,}
      | (?P<named>(?:x-|x_)?(?:api[-_]?key|access[-_]?token|auth[-_]?token|client[-_]?secret|password|secret)
          ["']?\s*[:=]\s*["']?)[^\s"'&,;<>]+
      | (?:sk|pk|rk|gsk|xai|nvapi|hf|whsec|csk|fw|pplx|tgp)[-_][\w*•.\-]{4,}  # keys by their vendors' prefixes
      | AKIA[0-9A-Z]{8,} | AIza[\w\-*]{8,}
      | eyJ[\w\-]{6,}\.[\w\-]+(?:\.[\w\-]*)?                              # a JSON web token
      | org[-_][A-Za-z0-9*]{6,} | (?:proj|user)[-_](?=[A-Za-z]{0,40}[0-9*])[A-Za-z0-9*]{6,}
      )
"""
_ADDRESSES = r"| [\w.+%\-]{1,64}@[\w\-]{1,64}(?:\.[\w\-]{1,64}){1,8}"
_SECRETS = re.compile(_KEYS, re.VERBOSE | re.IGNORECASE)
_SECRETS_AND_ADDRESSES = re.compile(_KEYS + _ADDRESSES, re.VERBOSE | re.IGNORECASE)


def scrub(text: str, secrets: Iterable[str] = (), limit: int = 500) -> str:
    """`text` on one line, at most `limit` characters, with everything masked that looks like a key, a token, an e-mail
    address or an organisation id, and every trace of `secrets`: whole, percent-encoded, in part, or starred out."""
    # Cut generously first (a body may have megabytes), and for good only after masking: half a key is still a key.
    text = text[: limit * 8 + 2_000]
    if not (text.isascii() and text.isprintable()):
        text = "".join(map(_visible, text))
    for secret in secrets:
        text = _mask_secret(text, secret)
    text = (_SECRETS_AND_ADDRESSES if "@" in text else _SECRETS).sub(_mask_match, text)
    text = " ".join(text.split())
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _visible(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Zl", "Zp"):
        return " "
    return "" if category in ("Cs", "Cf") else character


def _mask_match(match: re.Match[str]) -> str:
    """Keep the word that announced the secret ("Bearer "), mask the secret."""
    if match["user"]:
        return "://" + MASK + "@"
    return (match["auth"] or match["named"] or "") + MASK


def _mask_secret(text: str, secret: str) -> str:
    if len(secret) < SHORTEST_SECRET:
        return text
    for whole in {secret, quote(secret, safe="")}:
        text = text.replace(whole, MASK)
    # Echoes that hide the middle: "abcd****wxyz".
    text = re.sub(re.escape(secret[:3]) + r"[^\s\"'<>]*?(?:\*{2,}|•{2,}|…|\.{3,})[^\s\"'<>]*", MASK, text)
    for start in range(len(secret) - _WINDOW + 1):
        text = _mask_around(text, secret[start : start + _WINDOW])
    return text


def _mask_around(text: str, piece: str) -> str:
    """Mask every run of key-like characters that holds `piece`. Linear in the text, which a stranger wrote."""
    at = text.find(piece)
    while at >= 0:
        start, end = at, at + len(piece)
        while start > 0 and text[start - 1] in _KEY_CHARACTERS:
            start -= 1
        while end < len(text) and text[end] in _KEY_CHARACTERS:
            end += 1
        text = text[:start] + MASK + text[end:]
        at = text.find(piece, start + len(MASK))
    return text
