"""What people do to a remote batch. For now: cancel.

The act is written before the call, so that a process killed in the middle leaves a trace, and the answer is absorbed
like any other sight of the batch. After anything but a plain yes the batch is retrieved, so that the page shows what
is, with the vendor's words beside it.
"""

import logging
import threading
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from dashboard.dialects.base import Dialect, VendorError
from dashboard.models import Act, AuditEntry, Batch, Connection, Transition, User
from dashboard.models.batch import TERMINAL, Status
from dashboard.sync.absorb import ClaimLost, absorb
from dashboard.sync.vendor import KeyUnavailable, open_vendor

logger = logging.getLogger(__name__)

State = Act.State
# A slow vendor must not take every thread of the web server, or the walls freeze.
_slots = threading.BoundedSemaphore(4)
# A cancel may take 8 s; what is still "sending" after this long was left by a killed process.
LEFT_BEHIND = timedelta(seconds=20)
HURRY = timedelta(minutes=3)


class Busy(Exception):
    """Four acts are under way in this process already; nothing was sent."""


def cancel(batch: Batch, user: User, *, address: str = "") -> Act:
    """Ask the vendor to cancel, once, and say how that ended. A second click gets the first one's act.

    Takes at most the dialect's `cancel_seconds` for the call and as long again for the look afterwards. Raises Busy.
    """
    if not _slots.acquire(blocking=False):
        raise Busy
    try:
        act, ours = _begin(batch, user)
        if ours:
            AuditEntry.objects.create(
                actor=act.who, verb="batch.cancel", target=f"{batch.connection}: {batch.remote_id}", address=address
            )
            _send(act, batch)
        return act
    finally:
        _slots.release()


def _begin(batch: Batch, user: User) -> tuple[Act, bool]:
    """The act that is open for this batch, and whether it is this call's own."""
    try:
        with transaction.atomic():
            act = Act.objects.create(
                batch=batch, kind=Act.Kind.CANCEL, user=user, who=str(user)[:150], began_at=timezone.now()
            )
            _touch(batch)
    except IntegrityError:
        act = Act.objects.filter(batch=batch, kind=Act.Kind.CANCEL).latest("began_at")
        return act, False
    return act, True


def _touch(batch: Batch) -> None:
    """An act shows on the batch's row, so open pages must notice it."""
    Connection.objects.filter(pk=batch.connection_id).update(revision=F("revision") + 1)
    revision = Connection.objects.values_list("revision", flat=True).get(pk=batch.connection_id)
    Batch.objects.filter(pk=batch.pk).update(revision=revision)


def _send(act: Act, batch: Batch) -> None:
    connection = batch.connection
    try:
        with open_vendor(connection, for_acts=True) as vendor:
            try:
                remote = vendor.cancel(batch.remote_id)
            except VendorError as error:
                _note_error(act, error)
                _look(vendor, batch, act)
            else:
                act.state, act.http_status = State.ACCEPTED, 200
                # Any list that was asked for before this answer came may still show what was; see absorb's asked_at.
                absorb(connection, [remote], asked_at=timezone.now(), source=Transition.Source.ACT)
    except KeyUnavailable as error:
        act.state, act.error_kind = State.REFUSED, error.kind
    except ClaimLost:
        logger.warning("%s was deleted while %s was being cancelled", connection, batch.remote_id[:80])
    _end(act, batch)


def _note_error(act: Act, error: VendorError) -> None:
    # Only what was certainly not sent, or was answered with a plain no, is a refusal. A 2xx around something that is no
    # batch says nothing: such servers were seen to have cancelled nothing.
    said_no = error.status is not None and 400 <= error.status < 500
    act.state = State.REFUSED if said_no or not error.sent else State.UNKNOWN
    act.http_status, act.error_kind, act.words = error.status, error.kind, error.words


def _look(vendor: Dialect, batch: Batch, act: Act) -> None:
    """See what the batch really is; what that shows may settle an act that got no answer."""
    asked_at = timezone.now()
    try:
        remote = vendor.retrieve(batch.remote_id)
    except VendorError as error:
        logger.info("after the cancel of %s the batch could not be read: %s", batch.remote_id[:80], error)
        return
    absorb(batch.connection, [remote], asked_at=asked_at, source=Transition.Source.ACT)
    if act.state == State.UNKNOWN and remote.status in (Status.CANCELLING, Status.CANCELLED):
        act.state = State.ACCEPTED


def _end(act: Act, batch: Batch) -> None:
    act.ended_at = None if act.state == State.UNKNOWN else timezone.now()
    with transaction.atomic():
        act.save()
        _touch(batch)
        now = timezone.now()
        Connection.objects.filter(pk=batch.connection_id).update(
            hurry_until=now + HURRY, next_sync_at=now + timedelta(seconds=3)
        )


def unsettled() -> list[int]:
    """Acts whose end nobody knows: sent and not answered, or left behind by a killed process."""
    left = timezone.now() - LEFT_BEHIND
    Act.objects.filter(state=State.SENDING, began_at__lt=left).update(state=State.UNKNOWN)
    return list(Act.objects.filter(state=State.UNKNOWN, began_at__lt=left).values_list("pk", flat=True)[:100])


def settle(act_id: int) -> None:
    """Find out by a retrieve how an act ended; stays unknown while the vendor does not answer."""
    act = Act.objects.select_related("batch__connection").filter(pk=act_id, state=State.UNKNOWN).first()
    if act is None:
        return
    batch = act.batch
    try:
        with open_vendor(batch.connection) as vendor:
            asked_at = timezone.now()
            remote = vendor.retrieve(batch.remote_id)
    except (VendorError, KeyUnavailable) as error:
        if not (isinstance(error, VendorError) and error.kind == "not_found"):
            return
        act.state, act.error_kind, act.words = State.REFUSED, error.kind, error.words
    else:
        absorb(batch.connection, [remote], asked_at=asked_at, source=Transition.Source.ACT)
        if remote.status in (Status.CANCELLING, Status.CANCELLED):
            act.state = State.ACCEPTED
        else:
            act.state, act.error_kind = State.REFUSED, "unconfirmed"
            act.words = (
                _("It had already ended when it was looked at again.")
                if remote.status in TERMINAL
                else _("It is still running: the request did not arrive or had no effect. Cancel again if you wish.")
            )
    _end(act, batch)
