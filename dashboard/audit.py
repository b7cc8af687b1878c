"""Writing the audit, in one place, and what its verbs are called.

A verb is `<what>.<done>`, in the past tense of a sentence: "Mei changed a connection". The part before the dot is what
the page filters by.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from dashboard.addresses import client_address
from dashboard.logs import scrubbed
from dashboard.models import AuditEntry

if TYPE_CHECKING:
    from dashboard.models import Batch, User

# What the page offers to filter by: the part of the verb before the dot.
GROUPS = {
    "batch": _("Acts on batches"),
    "read": _("Reading of bodies and files"),
    "connection": _("Connections"),
    "person": _("People and roles"),
    "invitation": _("Invitations"),
    "session": _("Sign-ins"),
    "share": _("Share links"),
    "view": _("Shared views"),
    "export": _("Exports"),
}
VERBS = {
    "batch.cancel": _("asked to cancel"),
    "batch.cancel_answer": _("was answered about the cancel of"),
    "read.file": _("had a file read of"),
    "read.preview": _("looked into a file of"),
    "read.download": _("downloaded a file of"),
    "read.body": _("read what a request says of"),
    "connection.add": _("added the connection"),
    "connection.edit": _("changed the connection"),
    "connection.test": _("tested the connection"),
    "connection.pause": _("paused the connection"),
    "connection.resume": _("resumed the connection"),
    "connection.delete": _("removed the connection"),
    "connection.restore": _("brought back the connection"),
    "person.first_admin": _("became the first admin"),
    "person.edit": _("changed the rights of"),
    "person.deactivate": _("deactivated the account of"),
    "person.activate": _("activated the account of"),
    "person.reset": _("made a link for a new password of"),
    "person.second_factor": _("changed the second factor of"),
    "person.password": _("changed the password of"),
    "person.connect": _("connected an account of the provider with"),
    "person.disconnect": _("disconnected an account of the provider from"),
    "invitation.make": _("invited"),
    "invitation.renew": _("made a new link for the invitation of"),
    "invitation.revoke": _("revoked the invitation of"),
    "invitation.accept": _("accepted the invitation as"),
    "session.sign_in": _("signed in"),
    "session.sign_out": _("signed out"),
    "session.end_all": _("ended every session of"),
    "session.lock": _("was locked out after wrong passwords for"),
    "share.make": _("made the link"),
    "share.edit": _("changed the link"),
    "share.rotate": _("gave a new address to the link"),
    "share.revoke": _("revoked the link"),
    "share.keep": _("took over the link"),
    "share.wrong_password": _("somebody typed a wrong password for the link"),
    "view.share": _("shared the view"),
    "view.edit": _("changed the shared view"),
    "view.delete": _("deleted the shared view"),
    "export.batches": _("exported the list of batches"),
    "export.requests": _("exported the requests of"),
    "export.errors": _("exported errors of"),
    "export.audit": _("exported the audit"),
}


def record(
    who: "HttpRequest | User | str",
    verb: str,
    target: object,
    *,
    batch: "Batch | None" = None,
    person: "User | None" = None,
    detail: str = "",
    changes: Mapping[str, Any] | None = None,
    http_status: int | None = None,
    words: str = "",
    address: str = "",
) -> AuditEntry:
    """Note that `who` did `verb` to `target`: whoever asks with a request, or a person, or a name.

    `batch` and `person` are what the entry leads to. `changes` has what was before and is after, by field, and never a
    key. To be called in the transaction that makes the change, or before anything leaves for a vendor.
    """
    user: User | None = None
    if isinstance(who, HttpRequest):
        address = address or client_address(who)
        user = who.user if who.user.is_authenticated else None
        actor = who.user.get_username()
    elif isinstance(who, str):
        actor = who
    else:
        user, actor = who, who.get_username()
    return AuditEntry.objects.create(
        actor=clean(actor)[:150],
        user=user,
        verb=verb,
        target=clean(str(target))[:600],
        batch=batch,
        person=person,
        detail=clean(detail),
        changes={name: [plain(value) for value in pair] for name, pair in (changes or {}).items()},
        http_status=http_status,
        words=clean(words),
        address=address,
    )


def clean(text: str) -> str:
    """Without what looks like a key, and without the one character that PostgreSQL stores in no text."""
    return scrubbed(text.replace("\0", ""))


def plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float) else clean(str(value))
