"""The tabs of a batch, and what the first one shows: what its failures come down to, and whether it adds up."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.utils.text import slugify
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dashboard.access import READ_BODIES
from dashboard.insight.advice import Advice, advice_of
from dashboard.insight.batch_files import BatchFile, files_of, reckon, state_in_words
from dashboard.insight.outcome import is_running, sentences
from dashboard.insight.pulse import revisions_in
from dashboard.middleware import pulse_of
from dashboard.models import Batch, BatchError, ErrorGroup, FileKind
from dashboard.templatetags.batches import number
from dashboard.templatetags.times import clock_words
from dashboard.templatetags.visible import visible
from dashboard.views.shell import stale_connections

GROUPS_SHOWN = 50
SAMPLES_SHOWN = 3
OPEN_SECONDS, ENDED_SECONDS = 5, 60


@dataclass(frozen=True, slots=True)
class Tab:
    name: str
    url: str
    label: str
    count: str


@dataclass(frozen=True, slots=True)
class Group:
    """One error of this batch, over the files it was found in."""

    error: BatchError
    requests: int
    samples: list[dict[str, Any]]
    advice: Advice
    url: str  # the group across all batches
    requests_url: str  # its requests in this batch
    has_requests: bool  # a refused input has lines, but no request of it ran
    copied: str


def tabs_of(batch: Batch, groups: int, failing: int) -> list[Tab]:
    files = sum(bool(file_id) for file_id in (batch.input_file_id, batch.output_file_id, batch.error_file_id))
    found = ngettext("%(count)s group", "%(count)s groups", groups) % {"count": number(groups)} if groups else ""
    return [
        Tab("batch", reverse("batch", args=[batch.pk]), _("Overview"), found),
        Tab(
            "batch-requests",
            reverse("batch-requests", args=[batch.pk]),
            _("Requests"),
            number(failing or batch.failed or None),
        ),
        Tab("batch-files", reverse("batch-files", args=[batch.pk]), _("Files"), number(files or None)),
        Tab("batch-activity", reverse("batch-activity", args=[batch.pk]), _("Activity"), ""),
    ]


def tabs_context(batch: Batch) -> dict[str, Any]:
    """For the tabs that do not show the groups themselves."""
    rows = BatchError.objects.filter(batch=batch).values_list("group_id", "requests", "source")
    groups = {group for group, _requests, _source in rows}
    ran = sum(requests for _group, requests, source in rows if source != BatchError.Source.VALIDATION)
    return {"tabs": tabs_of(batch, len(groups), ran)}


def errors_context(batch: Batch) -> dict[str, Any]:
    """What the batch came to in errors, and whether its counts add up."""
    files = files_of(batch)
    groups = groups_of(batch)
    failing = sum(group.requests for group in groups)
    return {
        "tabs": tabs_of(batch, len(groups), sum(group.requests for group in groups if group.has_requests)),
        "groups": groups[:GROUPS_SHOWN],
        "groups_left": max(0, len(groups) - GROUPS_SHOWN),
        "failing": failing,
        "reads": reads_of(batch, files),
        "reckoning": reckon(batch, files),
        "files": files,
        "reading": progress_in(files),
    }


def groups_of(batch: Batch) -> list[Group]:
    """Most requests first. The same error in the output and in the error file is one group."""
    rows = BatchError.objects.filter(batch=batch).select_related("group").order_by("-requests", "pk")
    together: dict[int, list[BatchError]] = {}
    for row in rows:
        row.batch = batch
        together.setdefault(row.group_id, []).append(row)
    base = reverse("batch-requests", args=[batch.pk])
    groups = [
        Group(
            error=rows[0],
            requests=sum(row.requests for row in rows),
            samples=samples_of(rows),
            advice=advice_of(rows[0].group.retry),
            url=reverse("error-group", args=[group_id]),
            requests_url=f"{base}?{urlencode({'group': group_id})}",
            has_requests=any(row.source != BatchError.Source.VALIDATION for row in rows),
            copied=copied(rows[0].group),
        )
        for group_id, rows in together.items()
    ]
    return sorted(groups, key=lambda group: -group.requests)


def samples_of(rows: list[BatchError]) -> list[dict[str, Any]]:
    """A few failing requests, each with where it leads. What another version or a broken file left there is passed
    over."""
    found = [
        sample | {"input_line": number_in(sample, "input_line"), "url": url_of_sample(row, sample)}
        for row in rows
        for sample in (row.samples if isinstance(row.samples, list) else [])
        if isinstance(sample, dict)
    ]
    return found[:SAMPLES_SHOWN]


def url_of_sample(error: BatchError, sample: dict[str, Any]) -> str:
    """The page of the request; that of the input line where no request was run; the search where rows are not kept."""
    base, line, given = error.batch_id, number_in(sample, "line"), number_in(sample, "input_line")
    if error.source == BatchError.Source.VALIDATION:
        return reverse("input-line", args=[base, given]) if given else ""
    until = kept_until(error.batch)
    if line and (until is None or until > timezone.now()):
        return reverse("batch-request", args=[base, error.source, line])
    return f"{reverse('batch-requests', args=[base])}?{urlencode({'q': sample.get('custom_id', '')})}"


def number_in(sample: dict[str, Any], name: str) -> int | None:
    """The number of a line; None for what is none."""
    value = sample.get(name)
    return value if type(value) is int and value > 0 else None


def kept_until(batch: Batch) -> datetime | None:
    """When the rows of failing requests are thrown away; their groups and counts stay."""
    return batch.finished_at + timedelta(days=settings.RESULT_DAYS) if batch.finished_at else None


def copied(group: ErrorGroup) -> str:
    """The error in one line, for a ticket."""
    return visible(" ".join(str(part) for part in (group.http_status, group.code, group.message) if part))


def reads_of(batch: Batch, files: dict[str, BatchFile]) -> list[tuple[BatchFile, list[str]]]:
    """What stands between this page and the whole truth: files that were not read, or not to their end."""
    wanted = [FileKind.ERROR.value]
    if files["output"].latest:
        wanted.append(FileKind.OUTPUT.value)
    if not files["error"].file_id and not batch.failed:
        wanted.remove(FileKind.ERROR.value)
    return [(files[kind], state_in_words(files[kind], batch, clock_words)) for kind in wanted]


# --- What the tabs share ----------------------------------------------------------------------------------------------


def may_read_bodies(request: HttpRequest) -> bool:
    return request.user.has_perm(READ_BODIES) and not settings.READ_ONLY


def is_watched(batch: Batch, far: str) -> bool:
    """Whether anything of it can still change. `far` is how far its files that are being read have come."""
    return not batch.connection.retired_at and (not batch.gone_at or bool(far))


def is_changing(batch: Batch, far: str) -> bool:
    return bool(far) or bool(batch.refresh_until and batch.refresh_until > timezone.now() and not batch.gone_at)


def live_context(request: HttpRequest, batch: Batch, files: dict[str, BatchFile], **query: Any) -> dict[str, Any]:
    """How often the page asks, and with which address. `query` is what the address holds beside that."""
    taken = pulse_of(request)
    far = progress_in(files)
    watched = is_watched(batch, far)
    is_live = watched and is_changing(batch, far)
    drained = batch.connection_id if batch.connection_id in stale_connections(taken) else ""
    kept = {name: value for name, value in query.items() if value not in ("", None)}
    is_stale = is_running(batch) and bool(drained)
    return {
        "sentences": sentences(batch),
        "stale": is_stale,
        "synced_at": batch.connection.synced_at or batch.asked_at,
        "is_live": is_live,
        "is_watched": watched,
        "poll_seconds": OPEN_SECONDS if is_live else ENDED_SECONDS,
        "poll_url": "?" + urlencode(kept | {"seen": seen_token(taken.token, far), "drained": drained}),
    }


def progress_in(files: dict[str, BatchFile]) -> str:
    """How far the files that are being read have come; empty when none is."""
    reads = [file.latest for file in files.values() if file.is_being_read and file.latest]
    return ".".join(f"{read.pk}x{read.lines}" for read in reads)


def seen_token(token: str, far: str) -> str:
    """What the page has seen. Lines that were read raise no revision, so while a file is being read the token is never
    the plain one, which would be answered with 204 before anybody looks."""
    return f"{token}-r{far}" if far else token


def has_moved(request: HttpRequest, batch: Batch, files: dict[str, BatchFile]) -> bool:
    """Whether the page that asks shows something older; its connection may also have become stale, or come back."""
    seen = revisions_in(request.GET.get("seen", "")).get(batch.connection_id, 0)
    drained = str(batch.connection_id) in request.GET.get("drained", "").split(",")
    _token, _r, far = request.GET.get("seen", "").partition("-r")
    return (
        batch.revision > seen
        or far != progress_in(files)
        or drained != (batch.connection_id in stale_connections(pulse_of(request)))
        # Nothing moves when a connection is removed, and yet the page is another; it asks no more after that.
        or not is_watched(batch, progress_in(files))
    )


def safe_name(batch: Batch) -> str:
    """For a file that is saved: letters, digits and dashes."""
    return slugify(batch.name or batch.remote_id)[:80] or f"batch-{batch.pk}"
