"""The truth about a batch, from status and counts together, in the same words everywhere.

"completed" is not "succeeded": a vendor completes a batch of which every request failed. Green only when nothing
failed and nothing is unaccounted for. Rules: live.md, "Truth about a batch" in the design notes.
"""

from datetime import datetime

from django.utils import timezone
from django.utils.formats import date_format, get_format
from django.utils.translation import get_language, ngettext
from django.utils.translation import gettext as _

from dashboard.models import Batch
from dashboard.models.batch import TERMINAL, Outcome, Status, ended_as

OPEN = (Status.VALIDATING, Status.IN_PROGRESS, Status.FINALIZING, Status.CANCELLING)
# What a batch looks like: the name of an icon, a colour and a shape in the stylesheet.
STATES = {
    Outcome.SUCCEEDED: "succeeded",
    Outcome.PARTIAL: "partial",
    Outcome.ALL_FAILED: "failed",
    Outcome.FAILED_VALIDATION: "failed",
    Outcome.FAILED: "failed",
    Outcome.EXPIRED: "expired",
    Outcome.CANCELLED: "cancelled",
    Outcome.NO_REQUESTS: "none",
    Outcome.UNCOUNTED: "unknown",
    Outcome.UNKNOWN: "unknown",
    Outcome.UNSEEN: "gone",
}


def outcome_of(
    status: str,
    total: int | None,
    completed: int | None,
    failed: int | None,
    *,
    started: bool = False,
    failed_in_files: int = 0,
) -> Outcome:
    """The outcome code. `started` says whether the vendor gave a time at which requests began to run.

    A vendor's count of failures is not believed where its files show more of them.
    """
    if status in OPEN:
        return Outcome.OPEN
    if status == Status.EXPIRED:
        return Outcome.EXPIRED
    if status == Status.CANCELLED:
        return Outcome.CANCELLED
    if status == Status.FAILED:
        return Outcome.FAILED if started or completed or failed else Outcome.FAILED_VALIDATION
    if status != Status.COMPLETED:
        return Outcome.UNKNOWN
    if not (total or completed or failed) and None not in (completed, failed):
        return Outcome.UNCOUNTED if failed_in_files else Outcome.NO_REQUESTS
    if total is None:
        total = (completed or 0) + (failed or 0)
    completed, failed = ended_as(total, completed, failed, failed_in_files)
    if completed is None or failed is None:
        return Outcome.UNCOUNTED
    if not failed and completed >= total:
        return Outcome.SUCCEEDED
    if not completed and failed >= total:
        return Outcome.ALL_FAILED
    return Outcome.PARTIAL


def outcomes_of_status(status: str) -> frozenset[str]:
    """All outcomes that a batch of this status may have. Those of a status that is an end are its alone."""
    match status:
        case Status.EXPIRED | Status.CANCELLED:
            return frozenset({status})
        case Status.FAILED:
            return frozenset({Outcome.FAILED, Outcome.FAILED_VALIDATION})
        case Status.COMPLETED:
            return frozenset(
                {Outcome.SUCCEEDED, Outcome.PARTIAL, Outcome.ALL_FAILED, Outcome.NO_REQUESTS, Outcome.UNCOUNTED}
            )
    return frozenset({Outcome.OPEN, Outcome.UNKNOWN, Outcome.UNSEEN})


def removed_at(batch: Batch) -> datetime | None:
    """When its connection was removed. A list loads the connection of such batches alone: the others have none here."""
    return batch.connection.retired_at if Batch.connection.is_cached(batch) else None


def unseen_since(batch: Batch) -> datetime | None:
    """Since when nobody can know what an open batch does; None while it is watched, and for what has ended."""
    return None if batch.status in TERMINAL else batch.gone_at or removed_at(batch)


def lost_with_connection(batch: Batch) -> datetime | None:
    """When an open batch was lost from sight because its connection was removed; None when its key lost it before."""
    removed = removed_at(batch)
    is_cause = bool(removed and unseen_since(batch) and not (batch.gone_at and batch.gone_at < removed))
    return removed if is_cause else None


def is_running(batch: Batch) -> bool:
    """Whether it may be said what an open batch does now: how far it is, when it is due, what is left."""
    return batch.is_open and not unseen_since(batch)


def state_of(batch: Batch) -> str:
    """Which of the drawn states a batch is in: one of the open statuses, or an end."""
    if unseen_since(batch):
        return "gone"
    if batch.outcome == Outcome.OPEN:
        return batch.status
    return STATES[Outcome(batch.outcome)]


def lacks_output(batch: Batch) -> bool:
    """Whether requests completed and yet nothing is usable: some servers throw away the output of a cancelled batch."""
    return bool(batch.requests_completed) and not batch.output_file_id


def in_words(batch: Batch) -> str:
    """A few words, as they stand in a row, on the batch and on a wall: "Partial, 97 of 100"."""
    if unseen_since(batch):
        return _("No longer visible")
    done, total = batch.completed, batch.requests_total
    match batch.outcome:
        case Outcome.OPEN:
            return str(Status(batch.status).label)
        case Outcome.PARTIAL:
            said = {"done": count(done), "total": count(total or (done or 0) + (batch.failed or 0))}
            return _("Partial, %(done)s of %(total)s") % said
        case Outcome.EXPIRED if total and lacks_output(batch):
            return _("Expired, %(done)s of %(total)s done, no output") % {"done": count(done), "total": count(total)}
        case Outcome.EXPIRED if total:
            return _("Expired, %(done)s of %(total)s usable") % {"done": count(done), "total": count(total)}
        case Outcome.CANCELLED if lacks_output(batch):
            return _("Cancelled, %(done)s done, no output") % {"done": count(done)}
        case Outcome.CANCELLED if done is not None:
            return _("Cancelled, %(done)s usable") % {"done": count(done)}
        case Outcome.UNKNOWN:
            return batch.raw_status or _("Unknown")
        case _:
            return str(Outcome(batch.outcome).label)


def count(number: int | None) -> str:
    """12,000 in the person's language. Django's own takes ten times as long, and a list has hundreds of numbers."""
    number = number or 0
    return str(number) if -1000 < number < 1000 else f"{number:,}".replace(",", get_format("THOUSAND_SEPARATOR"))


def amid(label: object) -> str:
    """A label in the middle of a sentence: English writes it small there, German keeps its nouns as they are."""
    return str(label).lower() if (get_language() or "en").startswith("en") else str(label)


def day_and_time(at: datetime | None) -> str:
    """3 Oct 14:06, in the person's own zone: a sentence may be read on another day."""
    if at is None:
        return ""
    local = timezone.localtime(at)
    return date_format(local, _("j M H:i") if local.year == timezone.localdate().year else _("j M Y H:i"))


def sentence(batch: Batch) -> str:
    """One or two true sentences: what came of the requests. Its numbers add up with those of the bar below it."""
    return " ".join(said for _kind, said in sentences(batch))


def sentences(batch: Batch) -> list[tuple[str, str]]:
    """The same in pieces: "main" comes first, "bad" is what failed, "" is the rest."""
    failed, lost = batch.failed or 0, batch.unaccounted or 0
    if batch.outcome == Outcome.FAILED_VALIDATION:
        lost = 0  # all of them, which is said already
    pieces = [
        ("main", _last_seen(batch) if unseen_since(batch) else _main(batch)),
        ("", _by_then(batch) if unseen_since(batch) else ""),
        ("bad", _failed(failed) if batch.outcome != Outcome.ALL_FAILED else ""),
        ("bad", _hidden(batch)),
        ("", _not_completed(lost) if batch.is_cut_short else _unaccounted(lost)),
        ("", _overdue(batch)),
        ("", _out_of_sight(batch)),
    ]
    return [(kind, said) for kind, said in pieces if said]


def _main(batch: Batch) -> str:
    done, failed, total = batch.completed or 0, batch.failed or 0, batch.requests_total
    said = {"done": count(done), "total": count(total), "processed": count(done + failed)}
    if batch.is_open:
        if not total:
            return _("The vendor has not said yet how many requests there are.")
        return _("%(processed)s of %(total)s requests processed.") % said
    match batch.outcome:
        case Outcome.FAILED_VALIDATION:
            return _("The input file did not pass validation, so no request was run.")
        case Outcome.NO_REQUESTS:
            return _("The batch completed without a single request.")
        case Outcome.UNCOUNTED:
            return _("The vendor reports the batch as completed, but not how its requests ended.")
        case Outcome.ALL_FAILED:
            return _("None of %(total)s requests completed: all of them failed.") % {"total": count(total or failed)}
        case Outcome.SUCCEEDED:
            return _("All %(total)s requests completed.") % {"total": count(total or done)}
        case _ if not total:
            return _("It ended before the vendor said how many requests there are.")
        case Outcome.EXPIRED if lacks_output(batch):
            return (
                _("The deadline passed. %(done)s of %(total)s requests completed, but the vendor names no output.")
                % said
            )
        case Outcome.CANCELLED if lacks_output(batch):
            return (
                _("It was cancelled. %(done)s of %(total)s requests completed, but the vendor names no output.") % said
            )
        case Outcome.EXPIRED:
            return _("The deadline passed. %(done)s of %(total)s requests completed and are usable.") % said
        case Outcome.CANCELLED:
            return _("It was cancelled. %(done)s of %(total)s requests completed and are usable.") % said
    return _("%(done)s of %(total)s requests completed.") % said


def _last_seen(batch: Batch) -> str:
    """What an open batch did when it was last seen; it may have ended long since."""
    status = batch.raw_status if batch.status == Status.UNKNOWN else amid(Status(batch.status).label)
    said = {"time": day_and_time(unseen_since(batch)), "status": status}
    if lost_with_connection(batch):
        return _("Its connection was removed on %(time)s; last seen %(status)s.") % said
    return _("No longer visible with this key since %(time)s; last seen %(status)s.") % said


def _by_then(batch: Batch) -> str:
    if not batch.requests_total:
        return ""
    processed = (batch.requests_completed or 0) + (batch.requests_failed or 0)
    said = {"processed": count(processed), "total": count(batch.requests_total)}
    return _("By then %(processed)s of %(total)s requests were processed.") % said


def _failed(failed: int) -> str:
    return ngettext("%(count)s failed.", "%(count)s failed.", failed) % {"count": count(failed)} if failed else ""


def _hidden(batch: Batch) -> str:
    """Requests that the vendor counts as completed, though its files show that they failed."""
    hidden = called_completed(batch)
    if not hidden:
        return ""
    return ngettext(
        "The vendor counts %(count)s of those as completed, but its answer is an error.",
        "The vendor counts %(count)s of those as completed, but their answers are errors.",
        hidden,
    ) % {"count": count(hidden)}


def called_completed(batch: Batch) -> int:
    """How many requests the vendor counts as completed although its files show that they failed."""
    return (batch.requests_completed or 0) - (batch.completed or 0)


def _not_completed(rest: int) -> str:
    """Of a batch that was cut short."""
    if not rest:
        return ""
    return _("%(count)s did not complete.") % {"count": count(rest)}


def _unaccounted(lost: int) -> str:
    if not lost:
        return ""
    return ngettext(
        "%(count)s is neither completed nor failed.", "%(count)s are neither completed nor failed.", lost
    ) % {"count": count(lost)}


def _out_of_sight(batch: Batch) -> str:
    """Why nothing new will be seen of it, where that is not the first thing to say."""
    said = []
    if batch.gone_at and not unseen_since(batch):
        said.append(_("No longer visible with this key since %(time)s.") % {"time": day_and_time(batch.gone_at)})
    if (removed := removed_at(batch)) and not lost_with_connection(batch):
        said.append(_("Its connection was removed on %(time)s.") % {"time": day_and_time(removed)})
    return " ".join(said)


def _overdue(batch: Batch) -> str:
    if not (batch.is_overdue and is_running(batch)):
        return ""
    return _("The deadline has passed, but the vendor has not called it expired.")
