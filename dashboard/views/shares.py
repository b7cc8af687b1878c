"""/shares/: the links there are, whose they are and when they were last used; to make, change, rotate, revoke them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dashboard import sharing
from dashboard.access import EDIT_LINKS, LINK, ROLE_NAMES, role_needed
from dashboard.audit import record
from dashboard.middleware import pulse_of
from dashboard.models import Share
from dashboard.models.share import ShareQuerySet
from dashboard.views.health import not_allowed
from dashboard.views.saved_views import Filter
from dashboard.views.share_form import ShareForm, batch_of, filter_of

# The states of a link: how it is drawn and whether it works.
DRAWN = {"works": "succeeded", "expired": "expired", "revoked": "cancelled", "dark": "stale"}
KINDS = {kind.value for kind in Share.Kind}


@dataclass(frozen=True, slots=True)
class Shown:
    """One link as the page shows it."""

    share: Share
    state: str
    words: str
    filter: Filter
    is_own: bool

    @property
    def drawn(self) -> str:
        return DRAWN[self.state]

    @property
    def is_over(self) -> bool:
        return self.state in {"expired", "revoked"}

    @classmethod
    def of(cls, share: Share, names: Mapping[int, str], user: Any) -> Self:
        state = state_of(share)
        return cls(share, state, words_of(state), Filter.of(share.query, names), share.made_by_id == user.pk)


def state_of(share: Share) -> str:
    """Why it opens nothing, or "works"."""
    if share.revoked_at:
        return "revoked"
    if share.expires_at and share.expires_at <= timezone.now():
        return "expired"
    return "works" if share.shows != frozenset() else "dark"


def words_of(state: str) -> str:
    return {"works": _("Works"), "expired": _("Expired"), "revoked": _("Revoked"), "dark": _("Shows nothing")}[state]


@require_GET
def shares(request: HttpRequest) -> HttpResponse:
    """One's own; an admin sees everybody's. The newest first, and apart from them what is over."""
    if not request.user.has_perm(LINK):
        raise refused()
    found = list(stored(request).order_by("-made_at", "-pk"))
    makers = {share.made_by_id: share.made_by for share in found}
    for share in found:
        share.made_by = makers[share.made_by_id]  # what one of them may see is asked once
    names = pulse_of(request).names
    shown = [Shown.of(share, names, request.user) for share in found]
    context = {
        "shown": [one for one in shown if not one.is_over],
        "ended": [one for one in shown if one.is_over],
        "is_everybodys": request.user.has_perm(EDIT_LINKS),
        "may_make": not settings.READ_ONLY,
    }
    return render(request, "shares/shares.html", context)


@require_http_methods(["GET", "POST"])
def add(request: HttpRequest) -> HttpResponse:
    if refusal := refused_to_act(request):
        return refusal
    given = request.POST if request.method == "POST" else request.GET
    kind = given.get("kind", "")
    batch = batch_of(request.user, given.get("batch", "")) if kind == Share.Kind.BATCH else None
    if kind == Share.Kind.BATCH and batch is None:
        raise Http404
    filters = filter_of(given.get("filter", "") if request.method == "POST" else request.GET.urlencode())
    share = Share(made_by_id=request.user.pk, who=request.user.get_username(), batch=batch)
    share.kind = kind if kind in KINDS else Share.Kind.LIST
    initial = {"kind": share.kind, "name": str(batch)[:80] if batch else ""}
    form = ShareForm(
        request.POST or None,
        instance=share,
        initial=initial,
        user=request.user,
        names=pulse_of(request).names,
        filters=filters,
    )
    if request.method == "POST" and form.is_valid():
        token = share.new_token()
        form.save()
        note(request, "share.make", share)
        return with_token(request, share, token)
    said = Filter.of(filters, pulse_of(request).names)
    return render(request, "shares/form.html", {"form": form, "share": share, "filter": said, "filters": filters})


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    share = find(request, pk)
    if request.method == "POST" and settings.READ_ONLY:
        return not_allowed(request)
    if share.revoked_at:
        return is_over(request, share)
    names = pulse_of(request).names
    form = ShareForm(request.POST or None, instance=share, user=request.user, names=names)
    if request.method == "POST" and form.is_valid():
        form.save()
        sharing.forget()
        note(request, "share.edit", share, form.changes())
        messages.success(request, _("Saved %(name)s.") % {"name": share.name}, extra_tags="ui-check")
        return redirect("shares")
    shown = Shown.of(stored(request).get(pk=pk), names, request.user)  # a form with mistakes changed the other
    context = {
        "form": form,
        "share": shown.share,
        "one": shown,
        "filter": shown.filter,
        "may_act": not settings.READ_ONLY,
        "may_take_over": request.user.has_perm(EDIT_LINKS),
    }
    return render(request, "shares/form.html", context)


@require_POST
def rotate(request: HttpRequest, pk: int) -> HttpResponse:
    """A new token; the one before it stops working at once."""
    if refusal := refused_to_act(request):
        return refusal
    share = find(request, pk)
    if share.revoked_at:
        return is_over(request, share)
    token = share.new_token()
    share.save(update_fields=["token_hash", "token_made_at"])
    sharing.forget()
    note(request, "share.rotate", share)
    return with_token(request, share, token)


@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    if refusal := refused_to_act(request):
        return refusal
    share = find(request, pk)
    if share.revoked_at is None:
        share.revoked_at, share.revoked_by = timezone.now(), request.user.get_username()
        share.save(update_fields=["revoked_at", "revoked_by"])
        note(request, "share.revoke", share)
    sharing.forget()
    messages.success(request, _("%(name)s is revoked.") % {"name": share.name}, extra_tags="ui-check")
    return redirect("shares")


@require_POST
def take_over(request: HttpRequest, pk: int) -> HttpResponse:
    """From somebody who is gone, or may see less by now: from then on it shows what this admin may see."""
    if refusal := refused_to_act(request):
        return refusal
    if not request.user.has_perm(EDIT_LINKS):
        raise PermissionDenied(
            _("Taking over a link needs the role %(role)s. Nothing was changed.")
            % {"role": ROLE_NAMES[role_needed(EDIT_LINKS)]}
        )
    share = find(request, pk)
    if share.revoked_at:
        return is_over(request, share)
    before = share.who
    share.made_by_id, share.who = request.user.pk, request.user.get_username()
    share.save(update_fields=["made_by", "who"])
    sharing.forget()
    note(request, "share.keep", share, f"from {before}")
    said = _("%(name)s is yours now, and shows what you may see.") % {"name": share.name}
    messages.success(request, said, extra_tags="ui-check")
    return redirect("shares")


def is_over(request: HttpRequest, share: Share) -> HttpResponse:
    """What was taken back stays so: whoever had it may have it still."""
    said = _("%(name)s is revoked, and stays so. Make another.") % {"name": share.name}
    messages.info(request, said, extra_tags="st-cancelled")
    return redirect("shares")


def with_token(request: HttpRequest, share: Share, token: str) -> HttpResponse:
    """The whole link, in this one answer: it is stored nowhere, not even for the next page."""
    page = f"wall/{token}/" if share.kind == Share.Kind.WALL else f"s/{token}/"
    address = request.build_absolute_uri(f"{reverse('overview')}{page}")
    return render(request, "shares/made.html", {"share": share, "address": address})


# --- Rights -----------------------------------------------------------------------------------------------------------


def refused() -> PermissionDenied:
    role = ROLE_NAMES[role_needed(LINK)]
    return PermissionDenied(_("Links need the role %(role)s. Nothing was changed.") % {"role": role})


def refused_to_act(request: HttpRequest) -> HttpResponse | None:
    if not request.user.has_perm(LINK):
        raise refused()
    return not_allowed(request) if settings.READ_ONLY else None


def find(request: HttpRequest, pk: int) -> Share:
    """One's own, or anybody's for an admin; of any other it is not said that there is one."""
    if not request.user.has_perm(LINK):
        raise refused()
    share = Share.objects.visible_to(request.user).filter(pk=pk).first()
    if share is None:
        raise Http404
    return share


def stored(request: HttpRequest) -> ShareQuerySet:
    """With their makers and batches, for pages that show them."""
    found = Share.objects.visible_to(request.user).select_related("made_by", "batch")
    return found.defer("batch__payload", "batch__search_text")


def note(request: HttpRequest, verb: str, share: Share, detail: str = "") -> None:
    record(request, verb, f"{share.audited_as}{share.name}", detail=detail, batch=share.batch)
