"""The connection test behind its button, and the check of an address: each answers in a plain sentence."""

from dataclasses import dataclass

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dashboard.dialects import BadAddress, check_base_url
from dashboard.dialects.base import RemotePage, VendorError
from dashboard.insight.causes import FLAWS, cause_of, told
from dashboard.insight.outcome import count
from dashboard.models import Connection
from dashboard.sync.vendor import DIALECT_CHOICES, KeyUnavailable, open_vendor

__all__ = ["DIALECT_CHOICES", "Finding", "check_address", "probe"]
SAMPLE = 20
PATIENCE = 8.0  # seconds: the browser waits ten


@dataclass(frozen=True, slots=True)
class Finding:
    """What a test found: whether it is good, its code, and the sentence to show. The sentence may quote the vendor."""

    good: bool
    code: str
    sentence: str


def check_address(url: str) -> str:
    """The base URL, normalised. Raises ValueError with a sentence that says what is wrong with it."""
    try:
        return check_base_url(url, settings.ALLOW_PRIVATE)
    except BadAddress as error:
        raise ValueError(str(FLAWS[error.flaw])) from None


def probe(connection: Connection) -> Finding:
    """Ask for a short list with the connection as it stands, saved or not, and say what its key can see."""
    try:
        check_address(connection.base_url)
    except ValueError as error:
        return Finding(False, "address_refused", str(error))
    try:
        with open_vendor(connection, seconds=PATIENCE) as vendor:
            page = vendor.list_batches(None, SAMPLE)
    except KeyUnavailable as error:
        return Finding(False, error.kind, cause_of(error.kind))
    except VendorError as error:
        return Finding(False, error.kind, f"{cause_of(error.kind)} {told(error.kind, error.words)}".strip())
    return Finding(True, "works", _seen(page))


def _seen(page: RemotePage) -> str:
    seen = len(page.batches)
    if page.refused and not seen:
        return _("The address answers, but none of the records it lists could be read as a batch.")
    if not seen:
        return _("It works. The key is accepted and sees no batches yet.")
    if page.has_more:
        return _("It works. The key sees more than %(count)s batches.") % {"count": count(seen)}
    return ngettext("It works. The key sees %(count)s batch.", "It works. The key sees %(count)s batches.", seen) % {
        "count": count(seen)
    }
