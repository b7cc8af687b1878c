"""What people do to a remote batch. For now: cancel.

The act is written before the call, so that a process killed in the middle leaves a trace, and the answer is absorbed
like any other sight of the batch. After anything but a plain yes the batch is retrieved, so that the page shows what
is, with the vendor's words beside it.
"""

import logging
import threading
import time
from datetime import timedelta

from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from dashboard.audit import record
from dashboard.dialects.base import VendorError
from dashboard.models import Act, Batch, Connection, Transition, User
from dashboard.models.batch import TERMINAL, Status
from dashboard.models.connection import raise_revision
from dashboard.sync.absorb import ClaimLost, absorb
from dashboard.sync.concerns import look_again
from dashboard.sync.vendor import KeyUnavailable, open_vendor

logger = logging.getLogger(__name__)

State = Act.State
# A slow vendor must not take every thread of the web server, or the walls freeze.
_slots = threading.BoundedSemaphore(4)
# Somebody waits for the answer: for the call and the look behind it together.
PATIENCE = 8.0  # seconds
LEAST_LOOK = 1.0
# What is still "sending" after this long was left by a killed process.
LEFT_BEHIND = timedelta(seconds=30)
LOOK_AGAIN = timedelta(minutes=1)
GIVE_UP = timedelta(hours=24)
DOUBLE_CLICK = timedelta(seconds=10)
HURRY = timedelta(minutes=3)


class Busy(Exception):
    """As many calls as this process makes at once are under way already; nothing was sent."""


def cancel(batch: Batch, user: User, *, address: str = "") -> Act:
    """Ask the vendor to cancel, once, and say how that ended. A second click gets the first one's act.

    Takes at most PATIENCE and a moment, the look after a refusal included. Raises Busy.
    """
    if not _slots.acquire(blocking=False):
        raise Busy
    try:
        act, ours = _begin(batch, user)
        if ours:
            record(user, "batch.cancel", f"{batch.connection}: {batch.remote_id}", batch=batch, address=address)
            _send(act, batch)
        return act
    finally:
        _slots.release()


def _begin(batch: Batch, user: User) -> tuple[Act, bool]:
    """The act to answer with, and whether it is this call's own to send."""
    now = timezone.now()
    earlier = Act.objects.filter(batch=batch, kind=Act.Kind.CANCEL).order_by("-began_at")
    if just := earlier.filter(state=State.ACCEPTED, ended_at__gt=now - DOUBLE_CLICK).first():
        return just, False
    try:
        with transaction.atomic():
            act = Act.objects.create(
                batch=batch, kind=Act.Kind.CANCEL, user=user, who=str(user)[:150], began_at=timezone.now()
            )
            _touch(batch)
    except IntegrityError:
        return earlier[0], False
    return act, True


def _touch(batch: Batch) -> None:
    """An act shows on the batch's row, so open pages must notice it."""
    Batch.objects.filter(pk=batch.pk).update(revision=raise_revision(batch.connection_id))


def _send(act: Act, batch: Batch) -> None:
    connection, began = batch.connection, time.monotonic()
    try:
        with open_vendor(connection, for_acts=True, seconds=PATIENCE) as vendor:
            remote = vendor.cancel(batch.remote_id)
        act.state, act.http_status = State.ACCEPTED, 200
        # Any list that was asked for before this answer came may still show what was; see absorb's asked_at.
        absorb(connection, [remote], asked_at=timezone.now(), source=Transition.Source.ACT)
    except VendorError as error:
        _note_error(act, error)
        _look(act, batch, max(LEAST_LOOK, PATIENCE - (time.monotonic() - began)))
    except KeyUnavailable as error:
        act.state, act.error_kind = State.REFUSED, error.kind
    except ClaimLost:
        logger.warning("%s was removed while %s was being cancelled", connection, batch.remote_id[:80])
    _end(act, batch)


def _note_error(act: Act, error: VendorError) -> None:
    # Only what was certainly not sent, or was answered with a plain no, is a refusal. A 2xx around something that is no
    # batch says nothing: such servers were seen to have cancelled nothing.
    said_no = error.status is not None and 400 <= error.status < 500
    act.state = State.REFUSED if said_no or not error.sent else State.UNKNOWN
    act.http_status, act.error_kind, act.words = error.status, error.kind, error.words


def _look(act: Act, batch: Batch, seconds: float) -> None:
    """See what the batch really is; what that shows may settle an act that got no answer."""
    asked_at = timezone.now()
    try:
        with open_vendor(batch.connection, seconds=seconds) as vendor:
            remote = vendor.retrieve(batch.remote_id)
        absorb(batch.connection, [remote], asked_at=asked_at, source=Transition.Source.ACT)
    except (VendorError, KeyUnavailable, ClaimLost) as error:
        logger.info("after the cancel of %s the batch could not be read: %s", batch.remote_id[:80], error)
        return
    if act.state == State.UNKNOWN and remote.status in (Status.CANCELLING, Status.CANCELLED):
        act.state = State.ACCEPTED


def _end(act: Act, batch: Batch) -> None:
    """Write how the act ended, unless somebody else has settled it in the meantime."""
    act.ended_at = None if act.state == State.UNKNOWN else timezone.now()
    ending = {name: getattr(act, name) for name in ("state", "ended_at", "http_status", "error_kind", "words")}
    now = timezone.now()
    with transaction.atomic():
        if Act.objects.filter(pk=act.pk, state__in=(State.SENDING, State.UNKNOWN)).update(**ending):
            # An entry of its own, because none is ever changed.
            record(
                act.user or act.who,
                "batch.cancel_answer",
                f"{batch.connection}: {batch.remote_id}",
                batch=batch,
                detail=act.state,
                http_status=act.http_status,
                words=act.words,
            )
        _touch(batch)
        look_again([batch.pk], now)
        # A vendor that asked to be left alone is: its Retry-After stands.
        calm = Connection.objects.filter(pk=batch.connection_id, failures=0)
        calm.update(hurry_until=now + HURRY, next_sync_at=now + timedelta(seconds=3))


def unsettled() -> list[int]:
    """Acts whose end nobody knows and whose turn it is to be looked at; each at most once in LOOK_AGAIN."""
    now = timezone.now()
    for act in Act.objects.filter(state=State.SENDING, began_at__lt=now - LEFT_BEHIND).select_related("batch"):
        with transaction.atomic():
            if Act.objects.filter(pk=act.pk, state=State.SENDING).update(state=State.UNKNOWN):
                _touch(act.batch)
    unknown = Act.objects.filter(state=State.UNKNOWN, began_at__lt=now - LEFT_BEHIND)
    due = unknown.filter(Q(looked_at=None) | Q(looked_at__lt=now - LOOK_AGAIN))
    return [pk for pk in due.values_list("pk", flat=True)[:20] if due.filter(pk=pk).update(looked_at=now)]


def settle(act_id: int) -> None:
    """Find out by a retrieve how an act ended. Stays unknown while the vendor does not answer, for a day at most."""
    act = Act.objects.select_related("batch__connection", "user").filter(pk=act_id, state=State.UNKNOWN).first()
    if act and (ending := _found_out(act)):
        act.state, act.error_kind = ending
        act.words = ""
        _end(act, act.batch)


def _found_out(act: Act) -> tuple[State, str] | None:
    """How an act ended, and the kind of its failure; None while that is not known."""
    batch, asked_at = act.batch, timezone.now()
    if batch.connection.retired_at:
        return State.REFUSED, "never_known"
    try:
        with open_vendor(batch.connection, seconds=PATIENCE) as vendor:
            remote = vendor.retrieve(batch.remote_id)
        absorb(batch.connection, [remote], asked_at=asked_at, source=Transition.Source.ACT)
    except ClaimLost:
        return None  # removed in this very moment: the next look sees that
    except (VendorError, KeyUnavailable) as error:
        logger.info("to settle the cancel of %s the batch could not be read: %s", batch.remote_id[:80], error)
        if isinstance(error, VendorError) and error.kind == "not_found":
            return State.REFUSED, "not_found"
        return (State.REFUSED, "never_known") if asked_at - act.began_at >= GIVE_UP else None
    if remote.status in (Status.CANCELLING, Status.CANCELLED):
        return State.ACCEPTED, act.error_kind
    return State.REFUSED, "already_ended" if remote.status in TERMINAL else "unconfirmed"
