"""How a batch gets on, on its page: the estimate in sentences, and its course over time."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from django.utils.translation import gettext as _

from dashboard.insight.course import course_of
from dashboard.insight.outcome import count
from dashboard.insight.progress import (
    HOUR,
    LATEST,
    Counts,
    Progress,
    counting_only_at_end,
    in_sentences,
    latest_readings,
    progress_of,
    rounded,
)
from dashboard.models import Batch
from dashboard.templatetags.times import clock_words, duration


def progress_context(batch: Batch, *, stale: bool) -> dict[str, Any]:
    """`estimate` is pairs of a kind and a sentence, `course` what is drawn."""
    now = timezone.now()
    readings = latest_readings([batch.pk])[batch.pk] if batch.is_open else []
    progress = estimated(batch, readings, stale=stale)
    is_all = batch.is_open and len(readings) < LATEST
    return {
        "progress": progress,
        "estimate": in_sentences(progress, clock_words, duration) if progress else [],
        "course": course_of(batch, now, clock_words, stale=stale, readings=readings if is_all else None),
        "average": average(batch),
    }


def estimated(batch: Batch, readings: list[Counts], *, stale: bool) -> Progress | None:
    if not batch.is_open:
        return None
    done = (batch.requests_completed or 0) + (batch.requests_failed or 0)
    only_at_end = not done and bool(batch.in_progress_at) and bool(counting_only_at_end([batch.connection_id]))
    return progress_of(
        batch,
        readings,
        timezone.now(),
        stale=stale,
        synced_at=batch.connection.synced_at,
        only_at_end=only_at_end,
    )


def average(batch: Batch) -> str:
    """The rate over the whole time that requests ran, of a batch that has ended."""
    began, ended = batch.in_progress_at, batch.finished_at
    done = (batch.requests_completed or 0) + (batch.requests_failed or 0)
    if batch.is_open or not done or not began or not ended or ended - began < timedelta(seconds=1):
        return ""
    rate = HOUR * done / (ended - began).total_seconds()
    return _("%(rate)s an hour on average") % {"rate": count(rounded(rate))}
