"""Why a connection does not answer or cannot, in one plain sentence for each code: what happened, and what to do."""

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
    "name_refused": _(
        "The name leads to an address that is not allowed: link-local, cloud-metadata or, by setting, private."
    ),
    "cannot_be_sent": _(
        "Nothing was sent: the address, the key or a header holds what cannot be sent. An admin has to correct it."
    ),
    "key_lost": _("The stored key cannot be decrypted any more. An admin has to enter it again."),
    "act_key_lost": _(
        "The second key, for cancelling, cannot be decrypted any more. An admin has to enter it again, or forget it."
    ),
    "both_keys_lost": _("Both stored keys cannot be decrypted any more. An admin has to enter them again."),
    "key_missing": _("There is no key. An admin has to enter one, or the environment variable has to be set."),
    "unconfirmed": _("The batch still runs: the request did not arrive or had no effect. Cancel again if you wish."),
    "already_ended": _("It had ended already when it was looked at again."),
    "never_known": _("The vendor could not be asked any more, so nobody knows."),
    "defect": _("The sync broke on a defect of this dashboard; the log has the details."),
    # Of files.
    "file_gone": _("The file expired or was deleted at the vendor."),
    "not_comparable": _(
        "One of the batch's files could not be read, or not to its end, so there is nothing to compare it with."
    ),
    "not_reached": _("The line stands too far behind in a file of which no parts can be asked for."),
    "busy": _("As many files as may be are being passed through already. Try again in a few seconds."),
    # Of a sync that ended well all the same.
    "empty_page": _("The list ended at an empty page, although the vendor said that there is more."),
    "circle": _("The list ended where it went round in a circle."),
    "endless": _("The list was left where it had more pages than any list has."),
}

# Of an act the same codes have other causes: the connection reads well, and it is this batch or this right that fails.
ACT_CAUSES: dict[str, str | Promise] = {
    "bad_key": _("The vendor rejects the key that is used for cancelling (401). An admin has to enter a valid one."),
    "forbidden": _(
        "The key may not cancel batches (403). It needs the right to write them; an admin can enter a second key that"
        " has it."
    ),
    "not_found": _("The vendor knows no such batch (404): it is gone there, or the key may not see it."),
    "key_lost": _(
        "Nothing was sent: the key that is used for cancelling cannot be decrypted any more. An admin has to enter it"
        " again."
    ),
}

# What is wrong with an address that somebody typed.
FLAWS: dict[str, str | Promise] = {
    "empty": _("The address is empty."),
    "too_long": _("The address is longer than any address is."),
    "bad_characters": _("The address holds characters that no address can have."),
    "not_an_address": _("This is not an address."),
    "no_scheme": _("The address must start with https:// or http://."),
    "holds_a_user": _("The address must not hold a user name or password: the key has a field of its own."),
    "no_host": _("The address names no host."),
    "holds_a_fragment": _("The address must not have a part behind #."),
    "holds_a_secret": _("The address must not hold a key or token: the key has a field of its own."),
    "holds_dots": _("The path of the address must not hold . or .. as a part."),
    "metadata_service": _("This is the metadata service of a cloud, which is never called."),
    "never_called": _("Link-local, metadata, multicast and unspecified addresses are never called."),
    "private": _("Private addresses are not allowed here."),
}


# Failures of which the vendor's server said nothing: the details are what this side noticed.
WORDLESS = {
    "timeout",
    "unreachable",
    "certificate",
    "redirected",
    "not_json",
    "too_large",
    "wrong_batch",
    "address_refused",
    "name_refused",
    "cannot_be_sent",
}


def told(kind: str, words: str) -> str:
    """The words that came with a failure, as whose they are; empty without any."""
    if not words:
        return ""
    said = _("In detail: %(words)s") if kind in WORDLESS else _("The vendor says: %(words)s")
    return str(said) % {"words": words}


def cause_of_act(kind: str) -> str:
    """The sentence for an act that failed."""
    return str(ACT_CAUSES[kind]) if kind in ACT_CAUSES else cause_of(kind)


def cause_of(kind: str) -> str:
    """The sentence for a kind of failure; an unlisted kind is named as it is."""
    return str(CAUSES.get(kind) or _("It failed: %(kind)s.") % {"kind": kind})
