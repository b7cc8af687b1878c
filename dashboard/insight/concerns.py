"""Why a batch or a connection needs attention: when each reason holds, and its evidence.

Rows in, meaning out: sync/concerns.py opens and closes what is found here. Evidence holds facts and no durations, so
that a sentence (of concern_words.py) which is read an hour later is still true.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.utils.text import Truncator

from dashboard.insight.outcome import called_completed
from dashboard.models import Batch, Connection, Reason
from dashboard.models.batch import Outcome, Status

type Evidence = dict[str, Any]

Health = Connection.Health
# Those that tell of what is to come. They are shown, but nothing is wrong yet, so they are not counted as needs.
NOTICES = frozenset({Reason.RESULTS_EXPIRE.value})
SEVERITY = {reason.value: place for place, reason in enumerate(Reason)}
# An output file lives this long at OpenAI unless it says otherwise.
USUAL_LIFE = timedelta(days=30)
DAY, LIFE_SECONDS = 86_400, int(USUAL_LIFE.total_seconds())
ENDS = frozenset({Status.COMPLETED.value, Status.FAILED.value, Status.EXPIRED.value, Status.CANCELLED.value})
# The outcomes that need nobody.
CALM = frozenset({Outcome.SUCCEEDED.value, Outcome.NO_REQUESTS.value, Outcome.CANCELLED.value})
# Counts may arrive late: so long after the end nothing is said about their sum.
SETTLING = timedelta(minutes=5)
# Too few requests say nothing about a share.
LEAST_PROCESSED = 20
# Of the window left, this share of the requests done is near enough to the end.
NEARLY_DONE = 0.9
# An open concern about a running share closes below this part of the limit: else it would come and go all day.
CALMER = 0.8
# A vendor's clock that is off by less is not worth a correction: its Date header is seconds old when it is read.
SKEW = 30.0
# The tries after which a connection is said to fail: vendors hiccup.
FAILURES = 3
KEYLESS = ("key_lost", "key_missing")
# The usual is said, and reckoned with, from so many observations on.
ENOUGH = 10
USUAL_FACTOR = 3
# Held back while the data is stale: when its return was missed, it is looked at again after this long.
HOLD = timedelta(minutes=10)
# How soon to look again whether the vendor has called a batch expired.
ASK_AGAIN = timedelta(seconds=15)
LONGEST_WORDS = 200


@dataclass(frozen=True, slots=True)
class Usual:
    """How long something takes on this connection: in the middle, and nine times of ten. In seconds."""

    middle: float
    most: float
    number: int


@dataclass(frozen=True, slots=True)
class Known:
    """What the batch's own row does not say."""

    is_fresh: bool = True  # the connection is in step: what time alone brings about may be said
    synced_at: datetime | None = None
    clock_offset: float = 0.0  # seconds the vendor's clock is ahead of ours
    changed_at: datetime | None = None  # when its status or counts were last seen to change
    ended_at: datetime | None = None  # when its end was noticed, for a batch that was seen open before
    asked_to_cancel_at: datetime | None = None  # by an act that the vendor accepted
    asked_by: str = ""
    results_expire_at: datetime | None = None  # as the vendor says
    are_results_gone: bool = False
    already: frozenset[str] = frozenset()  # the reasons that are open
    usual: Callable[[str], Usual | None] = lambda _status: None  # asked for only where it matters


@dataclass(slots=True)
class Judgement:
    """What a batch needs attention for, and when time alone may change that."""

    now: datetime
    reasons: dict[Reason, Evidence] = field(default_factory=dict)
    again_at: datetime | None = None

    def say(self, reason: Reason, **evidence: Any) -> None:
        self.reasons[reason] = {name: plain(value) for name, value in evidence.items() if value not in (None, "", {})}

    def look_again(self, at: datetime) -> None:
        if at > self.now and (self.again_at is None or at < self.again_at):
            self.again_at = at


def plain(value: Any) -> Any:
    """As JSON keeps it. Whole seconds: no sentence needs more."""
    return value.replace(microsecond=0).isoformat() if isinstance(value, datetime) else value


# --- Batches ----------------------------------------------------------------------------------------------------------


def first_look(status: str, outcome: str, ended: int | None, asked: int, *, has_output: bool) -> int:
    """When a batch that an import has read must be judged, in unix seconds: `asked` is now, 0 is never.

    Asked for every row of an import, so it works on plain numbers. What ended long ago is no news: an import never
    floods; only its results may still be about to expire.
    """
    if ended is None:
        return 0 if status in ENDS else asked
    if ended + LIFE_SECONDS <= asked:
        return 0
    if outcome not in CALM and ended + settings.CONCERN_DAYS * DAY > asked:
        return asked
    if not has_output or not settings.RESULTS_EXPIRE_DAYS:
        return 0
    # Not in the import's own transaction: there may be thousands.
    return max(asked + 1, ended + LIFE_SECONDS - int(settings.RESULTS_EXPIRE_DAYS) * DAY)


def judged(batch: Batch, now: datetime, known: Known) -> Judgement:
    """Everything that a batch needs attention for at a moment."""
    found = Judgement(now)
    if batch.gone_at:
        _unseen(batch, batch.gone_at, found)
    if not batch.is_open:
        _ended(batch, known, found)
    elif not batch.gone_at:
        _running(batch, known, found)
    return found


def _unseen(batch: Batch, gone_at: datetime, found: Judgement) -> None:
    until = gone_at + timedelta(days=settings.CONCERN_DAYS)
    if found.now < until:
        found.say(Reason.UNSEEN, since=gone_at, status=batch.status)
        found.look_again(until)


def _ended(batch: Batch, known: Known, found: Judgement) -> None:
    ended = batch.finished_at
    if ended is None:
        return
    # From when it was noticed: what failed while nobody synced is news when the sync is back.
    until = max(ended, known.ended_at or ended) + timedelta(days=settings.CONCERN_DAYS)
    if found.now < until:
        _how_it_ended(batch, ended, found)
        _counts_differ(batch, ended, found)
        if found.reasons:
            found.look_again(until)
    _results_expire(batch, ended, known, found)


def _how_it_ended(batch: Batch, ended: datetime, found: Judgement) -> None:
    total, done, failed = batch.requests_total, batch.completed or 0, batch.failed or 0
    counts = {"done": done, "failed": failed, "total": total, "hidden": called_completed(batch) or None}
    match batch.outcome:
        case Outcome.FAILED_VALIDATION:
            found.say(Reason.FAILED_VALIDATION, since=ended, first=_first_error(batch))
        case Outcome.ALL_FAILED:
            found.say(Reason.ALL_FAILED, since=ended, first=_first_error(batch), **counts)
        case Outcome.FAILED:
            reason = Reason.HIGH_FAILED_SHARE if done else Reason.ALL_FAILED
            found.say(reason, since=ended, broken=True, first=_first_error(batch), **counts)
        case Outcome.EXPIRED if not total or done < total:
            found.say(Reason.EXPIRED, since=ended, file=batch.output_file_id, **counts)
    if batch.outcome in (Outcome.PARTIAL, Outcome.EXPIRED) and total and is_high(failed, total):
        found.say(Reason.HIGH_FAILED_SHARE, since=ended, **counts)


def is_high(failed: int, of: int, part: float = 1.0) -> bool:
    return failed > 0 and 100 * failed >= part * settings.FAILED_SHARE * of


def _first_error(batch: Batch) -> Evidence:
    """The first of the batch-level errors, in the vendor's words."""
    first = batch.errors[0] if isinstance(batch.errors, list) and batch.errors else {}
    if not isinstance(first, dict):
        return {}
    line, *said = (first.get(name) for name in ("line", "code", "message"))
    words = Truncator(": ".join(str(word) for word in said if word)).chars(LONGEST_WORDS)
    return {"line": line, "words": words} if words else {}


def _counts_differ(batch: Batch, ended: datetime, found: Judgement) -> None:
    total, done, failed = batch.requests_total, batch.requests_completed, batch.requests_failed
    if not total or done is None or failed is None:
        return
    # What never ran of an expired, cancelled or failed batch is no riddle.
    if done + failed <= total and (batch.status != Status.COMPLETED or done + failed == total):
        return
    if found.now < ended + SETTLING:
        found.look_again(ended + SETTLING)
    else:
        found.say(Reason.COUNTS_DIFFER, since=ended, done=done, failed=failed, total=total)


def _results_expire(batch: Batch, ended: datetime, known: Known, found: Judgement) -> None:
    if not batch.output_file_id or batch.gone_at or known.are_results_gone or not settings.RESULTS_EXPIRE_DAYS:
        return
    expires = known.results_expire_at or ended + USUAL_LIFE
    opens = expires - timedelta(days=settings.RESULTS_EXPIRE_DAYS)
    if found.now < opens:
        found.look_again(opens)
    elif found.now < expires:
        is_usual = True if known.results_expire_at is None else None
        found.say(Reason.RESULTS_EXPIRE, expires=expires, usual=is_usual, file=batch.output_file_id)
        found.look_again(expires)


# --- While it runs ----------------------------------------------------------------------------------------------------


def _running(batch: Batch, known: Known, found: Judgement) -> None:
    done, failed = batch.requests_completed or 0, batch.requests_failed or 0
    part = CALMER if Reason.HIGH_FAILED_SHARE in known.already else 1.0
    if done + failed >= LEAST_PROCESSED and is_high(failed, done + failed, part):
        found.say(Reason.HIGH_FAILED_SHARE, done=done, failed=failed, total=batch.requests_total, runs=True)
    _stalled(batch, known, found)
    _cancel_stuck(batch, known, found)
    _deadline(batch, known, found)


def _in_time(reason: Reason, at: datetime, batch: Batch, known: Known, found: Judgement, **evidence: Any) -> None:
    """What time alone brings about: from `at` on, and never while the data is stale.

    What is open already stays then: nobody knows better.
    """
    if found.now < at:
        found.look_again(at)
    elif reason in known.already or (known.is_fresh and not batch.misses):
        found.say(reason, **evidence)
    else:
        found.look_again(found.now + HOLD)


def ours(at: datetime | None, known: Known) -> datetime | None:
    """A time by the vendor's clock as ours would have shown it."""
    if at is None or abs(known.clock_offset) <= SKEW:
        return at
    return at - timedelta(seconds=known.clock_offset)


def _began(batch: Batch, at: datetime | None, known: Known) -> datetime:
    """When its status began: by the vendor, else when that was seen."""
    return ours(at, known) or known.changed_at or batch.first_seen_at


def _stalled(batch: Batch, known: Known, found: Judgement) -> None:
    evidence: Evidence = {"status": batch.status}
    match batch.status:
        case Status.VALIDATING:
            since, minutes = _began(batch, batch.created_at, known), settings.STALLED_VALIDATING
        case Status.FINALIZING:
            since, minutes = _began(batch, batch.finalizing_at, known), settings.STALLED_FINALIZING
        case Status.IN_PROGRESS if batch.requests_completed is not None or batch.requests_failed is not None:
            began = _began(batch, batch.in_progress_at, known)
            since, minutes = max(began, known.changed_at or began), settings.STALLED_IN_PROGRESS
            evidence |= {"processed": processed(batch), "total": batch.requests_total}
        case _:
            # An unknown status has no usual time, and without counts nobody can see whether they change.
            return
    limit = timedelta(minutes=minutes)
    if found.now < since + limit:
        found.look_again(since + limit)
        return
    usual = known.usual(batch.status)
    if usual:
        evidence |= {"usual": round(usual.middle), "usual_most": round(usual.most)}
        if batch.status == Status.IN_PROGRESS:
            limit = max(limit, timedelta(seconds=USUAL_FACTOR * usual.most))
    _in_time(Reason.STALLED, since + limit, batch, known, found, since=since, **evidence)


def processed(batch: Batch) -> int:
    return (batch.requests_completed or 0) + (batch.requests_failed or 0)


def _cancel_stuck(batch: Batch, known: Known, found: Judgement) -> None:
    if batch.status == Status.CANCELLING:
        since, evidence = _began(batch, batch.cancelling_at, known), {"status": batch.status}
    elif known.asked_to_cancel_at:
        since, evidence = known.asked_to_cancel_at, {"status": batch.status, "by": known.asked_by}
    else:
        return
    at = since + timedelta(minutes=settings.STALLED_CANCELLING)
    _in_time(Reason.CANCEL_STUCK, at, batch, known, found, since=since, **evidence)


def _deadline(batch: Batch, known: Known, found: Judgement) -> None:
    """Overdue once the vendor was asked after the deadline and still did not call it expired."""
    deadline, created = ours(batch.expires_at, known), ours(batch.created_at, known)
    if deadline is None:
        return
    evidence: Evidence = {"deadline": deadline, "processed": processed(batch), "total": batch.requests_total}
    if found.now >= deadline:
        if known.synced_at and known.synced_at > deadline:
            _in_time(Reason.OVERDUE, deadline, batch, known, found, since=deadline, **evidence)
            return
        found.look_again(found.now + ASK_AGAIN)
    if batch.status not in (Status.VALIDATING, Status.IN_PROGRESS) or created is None or created >= deadline:
        found.look_again(deadline)
        return
    if not batch.requests_total or processed(batch) < NEARLY_DONE * batch.requests_total:
        nearly = deadline - settings.WINDOW_LEFT / 100 * (deadline - created)
        _in_time(Reason.WINDOW_NEARLY_OVER, nearly, batch, known, found, **evidence)
    found.look_again(deadline)


# --- Connections ------------------------------------------------------------------------------------------------------


def reasons_of_connection(connection: Connection, health: str) -> dict[Reason, Evidence]:
    """Everything that a connection itself needs attention for."""
    found = Judgement(connection.made_at)
    if health == Health.PAUSED or connection.retired_at:
        return {}
    kind = connection.error_kind
    if connection.failures >= FAILURES or (connection.failures and kind in KEYLESS):
        found.say(Reason.CONNECTION_FAILING, since=connection.failing_since, kind=kind, synced=connection.synced_at)
    if health in (Health.STALE, Health.LOST):
        found.say(
            Reason.SYNC_STALE,
            since=connection.synced_at or connection.failing_since,
            never=True if connection.synced_at is None else None,
        )
    return found.reasons
