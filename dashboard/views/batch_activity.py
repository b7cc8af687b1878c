"""What was seen of a batch and done to it, in full."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from dashboard.insight.batch_files import files_of
from dashboard.middleware import polled, pulse_of
from dashboard.views.batch import find
from dashboard.views.batch_errors import has_moved, live_context, tabs_context
from dashboard.views.batch_events import events
from dashboard.views.batches import is_htmx

MANY, ALL = 100, 5_000  # events, and with ?all


@polled
@require_GET
def batch_activity(request: HttpRequest, pk: int) -> HttpResponse:
    pulse_of(request)  # before the rows: what moves in between is asked for again
    found = find(request, pk)
    files = files_of(found)
    is_all = "all" in request.GET
    most = ALL if is_all else MANY
    listed = events(found, most + 1)
    context = {
        "batch": found,
        "page": "batch-activity",
        "events": listed[:most],
        "has_more": len(listed) > most,
        "is_all": is_all,
        "moved": has_moved(request, found, files),
    }
    context |= tabs_context(found)
    context |= live_context(request, found, files, all="1" if is_all else "")
    return render(request, f"batch_activity/{'_changed' if is_htmx(request) else 'batch_activity'}.html", context)
