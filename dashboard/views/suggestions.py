"""What the search box offers while somebody types."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from dashboard.insight.query import LONGEST
from dashboard.insight.suggestions import suggestions
from dashboard.middleware import pulse_of
from dashboard.models import Batch
from dashboard.models.connection import visible_connections


@require_GET
def batch_suggestions(request: HttpRequest) -> HttpResponse:
    """`at` is how far the cursor stands from the beginning of `q`, in characters."""
    text, at = request.GET.get("q", "").replace("\0", "")[:LONGEST], request.GET.get("at", "")
    found = suggestions(
        text,
        int(at) if at.isdecimal() and len(at) < 6 else len(text),
        Batch.objects.visible_to(request.user),
        pulse_of(request).names.values(),
        visible_connections(request.user),
    )
    return render(request, "batches/_suggestions.html", {"found": found})
