"""Which columns somebody sees in the list: kept with the person, so that it holds in every browser."""

from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.views.decorators.http import require_POST

from dashboard.models import User
from dashboard.templatetags.columns import COLUMNS


@require_POST
def columns(request: HttpRequest) -> HttpResponse:
    """Nothing of anybody else's changes, so that viewers may, and so may everybody where only looking is allowed."""
    chosen = [slug for slug in COLUMNS if slug in request.POST.getlist("column")]
    kept = None if "usual" in request.POST else chosen
    User.objects.filter(username=request.user.get_username()).update(columns=kept)
    return redirect(list_at(request.POST.get("back", "")))


def list_at(query: str) -> str:
    """The address of the list with this query, whatever somebody posted as one."""
    read = QueryDict(query.removeprefix("?")[:4_000]).urlencode()
    return f"{reverse('batches')}?{read}" if read else reverse("batches")
