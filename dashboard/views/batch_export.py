"""What failed in one batch, as a file: its error groups, and the custom_ids of its failing requests."""

from collections.abc import Iterator

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_GET

from dashboard.audit import record
from dashboard.insight.advice import advice_of
from dashboard.insight.batch_files import files_of
from dashboard.models import BatchError, FileRead
from dashboard.views.batch import find
from dashboard.views.batch_errors import safe_name
from dashboard.views.batch_requests import KINDS, Asked
from dashboard.views.table import streamed

GROUP_COLUMNS = ("http_status", "code", "message", "retry", "requests", "source", "first_line", "last_line")
REQUEST_COLUMNS = ("custom_id", "outcome", "http_status", "code", "message", "words", "file", "line", "request_id")
AT_ONCE = 2_000


@require_GET
def errors(request: HttpRequest, pk: int, form: str) -> HttpResponseBase:
    """One row for each group and the file that it was found in."""
    found = find(request, pk)
    rows = BatchError.objects.visible_to(request.user).filter(batch=found).select_related("group")
    cells = (
        (
            row.group.http_status,
            row.group.code,
            row.group.message,
            str(advice_of(row.group.retry).words),
            row.requests,
            row.source,
            row.first_line,
            row.last_line,
        )
        for row in rows.order_by("-requests", "pk").iterator(chunk_size=AT_ONCE)
    )
    record(request, "export.errors", f"{found.connection}: {found.remote_id}", batch=found)
    return streamed(GROUP_COLUMNS, cells, form, f"{safe_name(found)}-errors")


@require_GET
def requests(request: HttpRequest, pk: int, form: str) -> HttpResponseBase:
    """The failing requests, by the same filters as on the page: no prompts, no outputs."""
    found = find(request, pk)
    asked = Asked.of(request.GET)
    files = files_of(found)
    reads = {kind: shown for kind in KINDS if (shown := files[kind].shown)}
    record(request, "export.requests", f"{found.connection}: {found.remote_id}", batch=found)
    return streamed(REQUEST_COLUMNS, rows_of(reads, asked), form, f"{safe_name(found)}-requests")


def rows_of(reads: dict[str, FileRead], asked: Asked) -> Iterator[tuple[object, ...]]:
    for kind, read in reads.items():
        for row in asked.rows(read).select_related("group").order_by("line").iterator(chunk_size=AT_ONCE):
            group = row.group
            yield (
                row.custom_id,
                row.state,
                row.http_status,
                group.code if group else "",
                group.message if group else "",
                row.words,
                kind,
                row.line,
                row.request_id,
            )
