"""How often a network may guess. Whoever knows a link is not held up by a neighbour who guesses.

Wrong tokens are counted in the memory of the process: of 256 bits none is ever guessed, so this only keeps guessing
cheap, and several processes together let through so many times more. Wrong passwords are what somebody may guess: they
are counted in the audit, which all processes share and which outlives them.
"""

import ipaddress
import threading
import time
from collections.abc import Callable
from datetime import timedelta
from functools import lru_cache
from math import ceil

from django.contrib.auth.hashers import check_password
from django.utils import timezone

from dashboard.models import AuditEntry, Share

# So many different wrong tokens of one network within so many seconds; the same one again, as a wall asks for it that
# nobody has told, is no guess.
WRONG_TOKENS = 20
TOKEN_SECONDS = 60
MOST_REMEMBERED = 10_000
# So many wrong passwords of one link within so long: of one network, and of all together.
WRONG_PASSWORDS = 5
WRONG_PASSWORDS_IN_ALL = 50
PASSWORD_TIME = timedelta(minutes=15)
WRONG_PASSWORD = "share.wrong_password"  # noqa: S105 (a verb of the audit)

_lock = threading.Lock()
_wrong: dict[str, tuple[float, set[str]]] = {}  # by network: until when they count, and which
_familiar: set[tuple[str, str]] = set()  # tokens (hashed) that worked, and from which network


@lru_cache(4_096)
def network_of(address: str) -> str:
    """Whom an address stands for: of IPv6 a /64, which is what one customer has at least."""
    found = ipaddress.ip_address(address or "0.0.0.0")  # noqa: S104 (stands for a client without an address)
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)


def seconds_to_wait(address: str) -> int:
    """Until this network may try unknown tokens again; 0 for at once."""
    until, tokens = _wrong.get(network_of(address), (0.0, set()))
    left = until - time.monotonic()
    return ceil(left) if left > 0 and len(tokens) >= WRONG_TOKENS else 0


def note_wrong_token(token: str, address: str) -> None:
    now, network = time.monotonic(), network_of(address)
    with _lock:
        until, tokens = _wrong.get(network, (0.0, set()))
        if until <= now:
            if len(_wrong) >= MOST_REMEMBERED:
                for key in [key for key, (until, _tokens) in _wrong.items() if until <= now] or list(_wrong):
                    del _wrong[key]
            until, tokens = _wrong[network] = now + TOKEN_SECONDS, set()
        if len(tokens) < WRONG_TOKENS:
            tokens.add(Share.hash(token))


def is_let_in(share: Share, address: str) -> bool:
    """Whether a token that is right counts: while its network has to wait only what already worked from there."""
    pair = share.token_hash, network_of(address)
    if pair in _familiar:
        return True
    if seconds_to_wait(address) and network_of(share.last_address) != pair[1]:
        return False
    with _lock:
        if len(_familiar) >= MOST_REMEMBERED:
            _familiar.clear()
        _familiar.add(pair)
    return True


def forget() -> None:
    """Nobody has guessed anything."""
    with _lock:
        _wrong.clear()
        _familiar.clear()


# --- Passwords --------------------------------------------------------------------------------------------------------

# One at a time: checking one takes long on purpose, and counting and checking belong together.
_checking = threading.Lock()


def password_tried(share: Share, password: str, address: str, when_wrong: Callable[[], None]) -> tuple[bool, int]:
    """Whether it is right, and how many seconds to wait before the next. It is not looked at while there is a wait."""
    if not _checking.acquire(timeout=5):
        return False, 5
    try:
        if wait := seconds_to_wait_for_password(share, address):
            return False, wait
        if check_password(password, share.password):
            return True, 0
        when_wrong()
        return False, seconds_to_wait_for_password(share, address)
    finally:
        _checking.release()


def seconds_to_wait_for_password(share: Share, address: str) -> int:
    now = timezone.now()
    rows = AuditEntry.objects.filter(verb=WRONG_PASSWORD, at__gt=now - PASSWORD_TIME)
    tries = list(rows.filter(target__startswith=share.audited_as).order_by("at").values_list("at", "address"))
    near = [at for at, other in tries if network_of(other) == network_of(address)]
    ends = []
    if len(near) >= WRONG_PASSWORDS:
        ends.append(near[-WRONG_PASSWORDS] + PASSWORD_TIME)
    if len(tries) >= WRONG_PASSWORDS_IN_ALL:
        ends.append(tries[-WRONG_PASSWORDS_IN_ALL][0] + PASSWORD_TIME)
    return max((ceil((end - now).total_seconds()) for end in ends), default=0)
