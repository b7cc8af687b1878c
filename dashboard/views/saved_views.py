"""Filters of the list under a name: one's own, and the team's."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dashboard.access import EDIT_SHARED, ROLE_NAMES, SHARE, role_needed
from dashboard.audit import record
from dashboard.middleware import pulse_of
from dashboard.models import SavedView, User
from dashboard.models.saved_view import kept_of
from dashboard.views.batch_list import CHIPS, SORTS
from dashboard.views.columns import list_at
from dashboard.views.health import not_allowed

if TYPE_CHECKING:
    Form = forms.ModelForm[SavedView]
else:
    Form = forms.ModelForm

MOST = 50  # of one person


class SavedViewForm(Form):
    """Name and who sees it. The filter itself comes from the page that it was saved on."""

    class Meta:
        model = SavedView
        fields = ("name", "shared")
        labels = {"name": gettext_lazy("Name"), "shared": gettext_lazy("Share with the team")}
        error_messages = {"name": {"required": gettext_lazy("A view needs a name.")}}

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.fields["name"].widget.attrs["autocomplete"] = "off"

    def clean_name(self) -> str:
        name = " ".join(str(self.cleaned_data["name"]).split())
        own = SavedView.objects.filter(owner=self.instance.owner_id).exclude(pk=self.instance.pk)
        if self.instance.owner_id and own.filter(name=name).exists():
            raise ValidationError(_("You have a view of that name; choose another, or delete that one first."))
        if not self.instance.pk and own.count() >= MOST:
            said = _("You have %(count)d views, which is as many as there can be. Delete one first.")
            raise ValidationError(said % {"count": MOST})
        return name


@dataclass(frozen=True, slots=True)
class Filter:
    """What a view shows: the search as it was typed, and the rest as the list calls it."""

    q: str
    rest: list[str]

    @classmethod
    def of(cls, query: str, names: Mapping[int, str]) -> Self:
        asked = QueryDict(query)
        labels = {slug: label for slug, label, _state, _outcomes in CHIPS}
        status, connection, sort = asked.get("status", ""), asked.get("connection", ""), asked.get("sort", "")
        rest = [str(labels.get(status, status))] if status else []
        if connection:
            rest.append(names.get(int(connection) if connection.isdecimal() else 0) or _("a connection that is gone"))
        if sort:
            rest.append(str(SORTS[sort].words) if sort in SORTS else sort)
        return cls(asked.get("q", ""), rest)


@require_GET
def saved_views(request: HttpRequest) -> HttpResponse:
    """All that one may open, to rename and delete them."""
    found = list(SavedView.objects.visible_to(request.user).select_related("owner").order_by("name", "pk"))
    names = pulse_of(request).names
    all_of_them = [(view, Filter.of(view.query, names)) for view in found]
    own = [(view, shown) for view, shown in all_of_them if view.owner_id == request.user.pk]
    team = [(view, shown) for view, shown in all_of_them if view.owner_id != request.user.pk]
    context = {"own": own, "team": team, "may_edit_team": may_edit_team(request)}
    return render(request, "saved_views/saved_views.html", context)


@require_POST
def add(request: HttpRequest) -> HttpResponse:
    query = kept_of(QueryDict(request.POST.get("back", "").removeprefix("?")[:4_000]).dict())
    view = SavedView(owner_id=request.user.pk, query=query)
    if "shared" in request.POST and (refusal := refused_to_share(request)):
        return refusal
    form = SavedViewForm(request.POST, instance=view)
    with alone(view.owner_id):
        if is_saved := form.is_valid():
            form.save()
    if not is_saved:
        context = {"form": form, "view": None, "query": query, "filter": Filter.of(query, pulse_of(request).names)}
        return render(request, "saved_views/form.html", context | rights(request))
    note(request, "view.share", view)
    messages.success(request, _("Saved as %(name)s.") % {"name": view.name}, extra_tags="ui-check")
    return redirect(list_at(view.query))


@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, pk: int) -> HttpResponse:
    view = find(request, pk)
    if refusal := refused_to_edit(request, view):
        return refusal
    was_shared = view.shared
    form = SavedViewForm(request.POST or None, instance=view)
    if view.owner_id is None or not (was_shared or rights(request)["can_share"]):
        del form.fields["shared"]  # nobody else would see it, or everybody else
    is_saved = False
    if request.method == "POST":
        with alone(view.owner_id):
            if is_saved := form.is_valid():
                if view.shared and not was_shared and (refusal := refused_to_share(request)):
                    return refusal
                form.save()
    if is_saved:
        note(request, "view.edit", view)
        return redirect("saved-views")
    stored = SavedView.objects.get(pk=pk)
    shown = Filter.of(stored.query, pulse_of(request).names)
    context = {"form": form, "view": stored, "query": stored.query, "filter": shown} | rights(request)
    return render(request, "saved_views/form.html", context)


@require_POST
def delete(request: HttpRequest, pk: int) -> HttpResponse:
    view = find(request, pk)
    if refusal := refused_to_edit(request, view):
        return refusal
    note(request, "view.delete", view)
    view.delete()
    messages.success(request, _("%(name)s was deleted.") % {"name": view.name}, extra_tags="ui-check")
    return redirect("saved-views")


@contextmanager
def alone(owner: int | None) -> Iterator[None]:
    """Nobody else changes this person's views meanwhile: two clicks on a button bring one name twice."""
    with transaction.atomic():
        User.objects.select_for_update().filter(pk__in=[owner] if owner else []).first()
        yield


# --- Rights -----------------------------------------------------------------------------------------------------------


def find(request: HttpRequest, pk: int) -> SavedView:
    """One that this person may open; of any other it is not said that there is one."""
    view = SavedView.objects.visible_to(request.user).filter(pk=pk).first()
    if view is None:
        raise Http404
    return view


def rights(request: HttpRequest) -> dict[str, Any]:
    return {"can_share": request.user.has_perm(SHARE) and not settings.READ_ONLY}


def may_edit_team(request: HttpRequest) -> bool:
    return request.user.has_perm(EDIT_SHARED) and not settings.READ_ONLY


def refused_to_share(request: HttpRequest) -> HttpResponse | None:
    if not request.user.has_perm(SHARE):
        raise PermissionDenied(
            _("Sharing a view with the team needs the role %(role)s. Nothing was saved.")
            % {"role": ROLE_NAMES[role_needed(SHARE)]}
        )
    return not_allowed(request) if settings.READ_ONLY else None


def refused_to_edit(request: HttpRequest, view: SavedView) -> HttpResponse | None:
    """One's own is one's own; what the team has of others is the admins'."""
    if view.owner_id == request.user.pk:
        return None
    if not request.user.has_perm(EDIT_SHARED):
        raise PermissionDenied(
            _("Changing a view of somebody else needs the role %(role)s. Nothing was changed.")
            % {"role": ROLE_NAMES[role_needed(EDIT_SHARED)]}
        )
    return not_allowed(request) if settings.READ_ONLY else None


def note(request: HttpRequest, verb: str, view: SavedView) -> None:
    """What concerns the team is in the log; what somebody keeps to themselves is nobody's business."""
    if view.shared:
        record(request, verb, view.name)
