"""Why a connection does not answer, in one plain sentence for each kind of failure: what happened, and what to do."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

CAUSES: dict[str, str | Promise] = {
    "bad_key": _("The vendor rejects the key (401). An admin has to enter a valid one."),
    "forbidden": _("The key is known but may not read batches (403). It needs the right to read batches."),
    "not_found": _("Nothing is at this address (404). Check the base URL and the batches path."),
    "conflict": _("The vendor refused because of the batch's state (409)."),
    "rate_limited": _("The vendor asks to slow down (429). The next try waits as long as it said."),
    "refused": _("The vendor refused the request."),
    "server_error": _("The vendor has a fault of its own (5xx)."),
    "timeout": _("The vendor did not answer in time."),
    "unreachable": _("The address cannot be reached: no such name, nothing listening, or the connection was cut."),
    "certificate": _("The certificate of the address is not trusted, so the key was not sent."),
    "redirected": _("The address redirects to another server, so the key was not sent there."),
    "not_json": _("The answer is not JSON: a proxy or a web page stands at this address."),
    "not_a_batch_api": _("The answer is JSON, but not of a Batch API. Check the base URL and the batches path."),
    "wrong_batch": _("The answer was about another batch than the one asked for."),
    "too_large": _("The answer was larger than is read."),
    "address_refused": _("The address is not allowed: link-local, cloud-metadata or, by setting, private."),
    "key_lost": _("The stored key cannot be decrypted any more. An admin has to enter it again."),
    "key_missing": _("There is no key. An admin has to enter one, or the environment variable has to be set."),
    "unconfirmed": _("The batch still runs: the request did not arrive or had no effect. Cancel again if you wish."),
    "already_ended": _("It had ended already when it was looked at again."),
    "never_known": _("The vendor could not be asked any more, so nobody knows."),
    "defect": _("The sync broke on a defect of this dashboard; the log has the details."),
}


def cause_of(kind: str) -> str:
    """The sentence for a kind of failure; an unlisted kind is named as it is."""
    return str(CAUSES.get(kind) or _("It failed: %(kind)s.") % {"kind": kind})
