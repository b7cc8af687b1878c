"""The truth about a batch, from status and counts together, in the same words everywhere.

"completed" is not "succeeded": a vendor completes a batch of which every request failed. Green only when nothing
failed and nothing is unaccounted for. Rules: live.md, "Truth about a batch" in the design notes.
"""

from django.utils.formats import number_format
from django.utils.translation import gettext as _

from dashboard.models import Batch
from dashboard.models.batch import Outcome, Status

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
}


def outcome_of(
    status: str, total: int | None, completed: int | None, failed: int | None, *, started: bool = False
) -> Outcome:
    """The outcome code. `started` says whether the vendor gave a time at which requests began to run."""
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
    if completed is None or failed is None:
        return Outcome.UNCOUNTED
    if total is None:
        total = completed + failed
    if total == 0 and not completed and not failed:
        return Outcome.NO_REQUESTS
    if not failed and completed >= total:
        return Outcome.SUCCEEDED
    if not completed and failed >= total:
        return Outcome.ALL_FAILED
    return Outcome.PARTIAL


def state_of(batch: Batch) -> str:
    """Which of the drawn states a batch is in: one of the open statuses, or an end."""
    if batch.gone_at:
        return "gone"
    if batch.outcome == Outcome.OPEN:
        return batch.status
    return STATES[Outcome(batch.outcome)]


def in_words(batch: Batch) -> str:
    """A few words, as they stand in a row, on the batch and on a wall: "Partial, 97 of 100"."""
    if batch.gone_at:
        return _("No longer visible")
    done, total = number_format(batch.requests_completed or 0), number_format(batch.requests_total or 0)
    match batch.outcome:
        case Outcome.OPEN:
            return str(Status(batch.status).label)
        case Outcome.PARTIAL:
            return _("Partial, %(done)s of %(total)s") % {"done": done, "total": total}
        case Outcome.EXPIRED if batch.requests_total:
            return _("Expired, %(done)s of %(total)s usable") % {"done": done, "total": total}
        case Outcome.CANCELLED if batch.requests_completed is not None:
            return _("Cancelled, %(done)s usable") % {"done": done}
        case Outcome.UNKNOWN:
            return batch.raw_status or _("Unknown")
        case _:
            return str(Outcome(batch.outcome).label)
