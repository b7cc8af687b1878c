"""The times of one batch as steps with durations: skipped ones are shown as skipped, odd ones are said to be odd."""

import itertools
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from dashboard.insight.outcome import is_running, lost_with_connection, state_of, unseen_since
from dashboard.models import Batch
from dashboard.models.batch import Status

# The order in which a batch goes through them, and what each is drawn as.
WAY = (
    ("created_at", gettext_lazy("Created"), "none"),
    ("in_progress_at", gettext_lazy("In progress"), "in_progress"),
    ("finalizing_at", gettext_lazy("Finalizing"), "finalizing"),
)
ENDS = (
    ("cancelling_at", gettext_lazy("Cancelling"), "cancelling"),
    ("cancelled_at", gettext_lazy("Cancelled"), "cancelled"),
    ("completed_at", gettext_lazy("Completed"), "succeeded"),
    ("failed_at", gettext_lazy("Failed"), "failed"),
    ("expired_at", gettext_lazy("Expired"), "expired"),
)
# The end that a status promises: missing it is worth saying.
END_OF = {
    Status.COMPLETED: "completed_at",
    Status.FAILED: "failed_at",
    Status.EXPIRED: "expired_at",
    Status.CANCELLED: "cancelled_at",
    Status.CANCELLING: "cancelling_at",
}


@dataclass(slots=True)
class Step:
    """One line of the timeline."""

    word: str
    state: str
    at: datetime | None
    kind: str = ""  # "", "skipped", "untimed" (it was seen, but the vendor gave no time) or "future"
    took: timedelta | None = None  # until the next step
    so_far: bool = False
    said: str = ""


def timeline(batch: Batch, now: datetime, seen: Collection[str] = ()) -> list[Step]:
    """Every time the vendor gave, in the order of the steps, and the steps it left out.

    `seen` are the statuses that syncs met: a step among them was not skipped, whatever the vendor leaves out.
    """
    steps = [_step(batch, field, str(word), state) for field, word, state in WAY]
    ends = [_step(batch, field, str(word), state) for field, word, state in ENDS if _belongs(batch, field)]
    for step in ends:
        if step.state == "succeeded":
            step.state = state_of(batch) if not batch.is_open else step.state
    last = max((i for i, step in enumerate([*steps, *ends]) if step.at), default=-1)
    for i, step in enumerate(steps):
        if step.at is None:
            if step.state in seen or step.state == batch.status:
                step.kind, step.said = "untimed", _("seen, but the vendor gave no time")
                continue
            skipped = i < last or not batch.is_open
            step.kind = "skipped" if skipped else "future"
            step.said = _("not reported by the vendor") if skipped else ""
    for step in ends:
        if step.at is None:
            is_seen = step.state in seen or step.state == batch.status
            step.kind = "untimed" if is_seen and step.state == "cancelling" else "skipped"
            step.said = _("time not reported by the vendor")
    steps += ends
    _durations(steps, batch, now)
    if since := unseen_since(batch):
        # What might come next is nobody's to say.
        steps = [step for step in steps if step.kind != "future"]
        word = _("Connection removed") if lost_with_connection(batch) else _("No longer visible")
        steps.append(Step(word, "gone", since))
    if batch.expires_at:
        after = next((i for i, step in enumerate(steps) if step.at and step.at > batch.expires_at), len(steps))
        steps.insert(after, _deadline(batch, batch.expires_at))
    return steps


def absent(batch: Batch) -> list[str]:
    """What the others of the nine times are called: those that the vendor gave none for and that no step shows."""
    names = [str(word) for field, word, _state in ENDS if not _belongs(batch, field)]
    return names if batch.expires_at else [*names, _("Deadline")]


def _belongs(batch: Batch, field: str) -> bool:
    """Whether an end is a step of this batch: its time was given, or its status promises it."""
    if getattr(batch, field) or END_OF.get(Status(batch.status)) == field:
        return True
    return field == "cancelling_at" and batch.status == Status.CANCELLED


def _step(batch: Batch, field: str, word: str, state: str) -> Step:
    return Step(word, state, getattr(batch, field))


def _durations(steps: list[Step], batch: Batch, now: datetime) -> None:
    timed = [step for step in steps if step.at]
    for step, after in itertools.pairwise(timed):
        if step.at and after.at:
            if after.at >= step.at:
                step.took = after.at - step.at
                if step is steps[0] and after is steps[1]:
                    step.said = _("until it began to run")
            else:
                after.said = _("earlier than the step before it: shown as the vendor sent it")
    if timed and is_running(batch) and (at := timed[-1].at) and now >= at:
        timed[-1].took, timed[-1].so_far = now - at, True


def _deadline(batch: Batch, expires_at: datetime) -> Step:
    step = Step(_("Deadline"), "expired", expires_at, kind="future")
    if is_running(batch):
        step.said = _("passed, not called expired by the vendor") if batch.is_overdue else ""
    elif batch.finished_at and batch.status == Status.COMPLETED and batch.finished_at <= expires_at:
        step.took, step.said = expires_at - batch.finished_at, _("to spare")
    return step
