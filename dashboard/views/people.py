"""People: who may come in, as what, and how much of it they see."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any, Self

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from dashboard import mail, sharing
from dashboard.access import PEOPLE, ROLE_NAMES, ROLES, admins, give_role, role_needed, role_of
from dashboard.audit import record
from dashboard.middleware import forget_person
from dashboard.models import Connection, Invitation, Share, User
from dashboard.views.health import not_allowed

type View = Callable[..., HttpResponse]


def for_admins(view: View) -> View:
    """Only for who may edit people."""

    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if not request.user.has_perm(PEOPLE):
            raise PermissionDenied(
                _("People are the business of the role %(role)s. Nothing was changed.")
                % {"role": ROLE_NAMES[role_needed(PEOPLE)]}
            )
        return view(request, **kwargs)

    return guarded


def for_acting_admins(view: View) -> View:
    """The same, and for nobody where DASHBOARD_READ_ONLY is set."""

    @wraps(view)
    def guarded(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        return not_allowed(request) if settings.READ_ONLY else view(request, **kwargs)

    return for_admins(guarded)


# --- Role and limits, of a person and of an invitation ----------------------------------------------------------------


class RightsForm(forms.Form):
    role = forms.ChoiceField(label=gettext_lazy("Role"), widget=forms.RadioSelect)
    sees = forms.ChoiceField(
        label=gettext_lazy("Sees"),
        widget=forms.RadioSelect,
        choices=(("all", gettext_lazy("every connection")), ("some", gettext_lazy("only these:"))),
        initial="all",
    )
    connections = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Connections"),
        required=False,
        queryset=Connection.objects.none(),
        widget=forms.CheckboxSelectMultiple,
    )

    def __init__(self, *args: Any, none: bool = False, **kwargs: Any) -> None:
        """`none`: also offer to have no role, to who has none."""
        super().__init__(*args, **kwargs)
        self.use_required_attribute, self.label_suffix = False, ""
        role, some = self.fields["role"], self.fields["connections"]
        assert isinstance(role, forms.ChoiceField)  # noqa: S101 (both for the type checker)
        assert isinstance(some, forms.ModelMultipleChoiceField)  # noqa: S101
        words = {
            "viewer": _("Viewer: sees batches, errors and connections"),
            "operator": _("Operator: also cancels, reads what requests say, makes links and shares views"),
            "admin": _("Admin: also edits connections and people, and reads the audit"),
        }
        role.choices = [*([("", _("No role: may sign in and sees nothing"))] if none else []), *words.items()]
        role.required = not none
        some.queryset = Connection.objects.filter(dropped_at=None)

    def clean(self) -> dict[str, Any]:
        data = super().clean() or self.cleaned_data
        if data.get("sees") == "some":
            if data.get("role") == "admin":
                self.add_error("sees", _("An admin edits every connection, so no admin can be limited."))
            elif "connections" in data and not data["connections"]:
                self.add_error("connections", _("Choose at least one, or every connection."))
        elif "connections" in data:
            data["connections"] = Connection.objects.none()
        return data

    @property
    def is_limited(self) -> bool:
        return bool(self.cleaned_data["sees"] == "some")


def sees_words(names: list[str] | None) -> str:
    """For the audit; None for every connection."""
    return "every connection" if names is None else ", ".join(names) or "nothing"


def names_seen(one: User | Invitation) -> list[str] | None:
    return sorted(connection.name for connection in one.connections.all()) if one.is_limited else None


# --- Everybody --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Row:
    """One person in the table."""

    user: User
    role: str
    role_name: str
    seen: list[str] | None  # the names of the connections; None for all
    is_you: bool

    @classmethod
    def of(cls, user: User, you: int | None) -> Self:
        """For a person that came with groups and connections."""
        held = {group.name for group in user.groups.all()}
        role = next((role for role in reversed(ROLES) if role in held or user.is_superuser), "")
        seen = names_seen(user) if role != "admin" else None
        return cls(user, role, str(ROLE_NAMES.get(role, "")), seen if role else [], user.pk == you)


@for_admins
@require_GET
def people(request: HttpRequest) -> HttpResponse:
    found = User.objects.prefetch_related("groups", "connections").order_by("-is_active", "username")
    context = {
        "rows": [Row.of(user, request.user.pk) for user in found],
        "invitations": Invitation.objects.filter(used_at=None, revoked_at=None)
        .select_related("person")
        .prefetch_related("connections")
        .order_by("-made_at"),
        "role_names": ROLE_NAMES,
        "now": timezone.now(),
        "acts": not settings.READ_ONLY,
    }
    return render(request, "people/people.html", context)


# --- One person -------------------------------------------------------------------------------------------------------


@for_acting_admins
@require_http_methods(["GET", "POST"])
def person(request: HttpRequest, pk: int) -> HttpResponse:
    """Role and limits. Nobody changes their own: then there is no form."""
    found = get_object_or_404(User, pk=pk)
    is_you = found.pk == request.user.pk
    role = role_of(found) if found.is_active else Row.of(found, None).role
    kept = {
        "role": role,
        "sees": "some" if found.is_limited else "all",
        "connections": [connection.pk for connection in found.connections.all()],
    }
    form = RightsForm(request.POST or None, initial=kept, none=not role)
    if request.method == "POST":
        if is_you:
            messages.info(request, _("Nobody changes their own role: ask another admin."), extra_tags="st-failed")
            return redirect("person", pk=pk)
        if form.is_valid() and change_rights(request, found, form):
            messages.success(request, _("Saved."), extra_tags="ui-check")
            return redirect("people")
    context = {
        "person": found,
        "row": Row.of(found, request.user.pk),
        "form": form,
        "is_you": is_you,
        "links": Share.objects.working().filter(made_by=found).count(),
        "may_reset": may_reset(request, found),
        "has_second_factor": has_second_factor(found),
        "provider": settings.OIDC_NAME if settings.OIDC_ROLES else "",
        "can_mail": bool(found.email) and mail.can_send(),
    }
    return render(request, "people/person.html", context)


def change_rights(request: HttpRequest, found: User, form: RightsForm) -> bool:
    """False where the form has a mistake that only the database could know: then it says so."""
    with transaction.atomic():
        if form.cleaned_data["role"] != "admin" and is_last_admin(found):
            form.add_error("role", _("This is the last admin who can sign in. Make another one first."))
            return False
        # Read again behind the lock: somebody else may have changed them meanwhile.
        found = User.objects.prefetch_related("connections", "groups").get(pk=found.pk)
        before = Row.of(found, None).role, sees_words(names_seen(found))
        give_role(found, form.cleaned_data["role"])
        found.is_limited = form.is_limited
        found.save(update_fields=["is_limited"])
        found.connections.set(form.cleaned_data["connections"])
        found = User.objects.prefetch_related("connections", "groups").get(pk=found.pk)
        after = Row.of(found, None).role, sees_words(names_seen(found))
        if before != after:
            pairs = zip(("role", "sees"), zip(before, after, strict=True), strict=True)
            changes = {name: pair for name, pair in pairs if pair[0] != pair[1]}
            record(request, "person.edit", found.get_username(), person=found, changes=changes)
        if before[0] == "admin" != after[0]:
            revoke_invitations_of(request, found)
    forget(found)
    return True


def is_last_admin(found: User) -> bool:
    """Whether nobody else could edit people then. Locks the admins until the end of the transaction."""
    others = [admin.pk for admin in admins().select_for_update()]
    return found.pk in others and len(others) == 1


def revoke_invitations_of(request: HttpRequest, found: User) -> None:
    """Whoever is no admin any more leaves no door behind."""
    for invitation in Invitation.objects.usable().filter(made_by=found):
        invitation.revoked_at = timezone.now()
        invitation.save(update_fields=["revoked_at"])
        record(request, "invitation.revoke", invitation.named, detail="together with the rights of who made it")


def forget(found: User) -> None:
    """What this process remembers of them for a moment, and of their links."""
    forget_person(found.pk)
    sharing.forget()


@for_acting_admins
@require_http_methods(["GET", "POST"])
def deactivate(request: HttpRequest, pk: int) -> HttpResponse:
    """Ask first; then nobody signs in by that name, and what was open is signed out."""
    found = get_object_or_404(User, pk=pk, is_active=True)
    links = Share.objects.working().filter(made_by=found)
    mistakes = {}
    choice = request.POST.get("links", "")
    if request.method == "POST":
        if found.pk == request.user.pk:
            mistakes["person"] = _("Nobody deactivates themselves: ask another admin.")
        elif links and choice not in {"keep", "revoke"}:
            mistakes["links"] = _("Choose what happens to their links.")
        else:
            with transaction.atomic():
                if is_last_admin(found):
                    mistakes["person"] = _("This is the last admin who can sign in. Make another one first.")
                else:
                    settle_links(request, found, links, keep=choice == "keep")
                    User.objects.filter(pk=pk).update(is_active=False, session_round=F("session_round") + 1)
                    record(request, "person.deactivate", found.get_username(), person=found)
                    revoke_invitations_of(request, found)
                    Invitation.objects.revoke_resets(found)
        if not mistakes:
            forget(found)
            messages.success(request, _("%(name)s was deactivated.") % {"name": found}, extra_tags="ui-check")
            return redirect("people")
    wide = [share for share in links if would_widen(share)]
    context = {"person": found, "links": links, "wide": wide, "choice": choice, "mistakes": mistakes}
    return render(request, "people/deactivate.html", context)


def would_widen(share: Share) -> bool:
    """Whether it would show more in the name of an admin, who has no limits, than it does now."""
    return share.shows != share.concerns


def settle_links(request: HttpRequest, found: User, links: QuerySet[Share], *, keep: bool) -> None:
    """The links of who leaves: in this admin's name from now on, or dark."""
    now, you = timezone.now(), request.user
    for share in links.select_related("made_by"):
        if keep and not would_widen(share):
            share.made_by_id, share.who = you.pk, you.get_username()
            share.save(update_fields=["made_by", "who"])
            record(request, "share.keep", share.name, changes={"made_by": (found.get_username(), share.who)})
        else:
            share.revoked_at, share.revoked_by = now, you.get_username()
            share.save(update_fields=["revoked_at", "revoked_by"])
            record(request, "share.revoke", share.name, detail=f"with {found.get_username()}")


@for_acting_admins
@require_POST
def activate(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(User, pk=pk)
    with transaction.atomic():
        if User.objects.filter(pk=pk, is_active=False).update(is_active=True):
            record(request, "person.activate", found.get_username(), person=found)
            messages.success(request, _("%(name)s can sign in again.") % {"name": found}, extra_tags="ui-check")
    forget(found)
    return redirect("person", pk=pk)


@for_acting_admins
@require_POST
def sign_out(request: HttpRequest, pk: int) -> HttpResponse:
    """Ends every session of theirs. Of one's own there is a button on /you/."""
    found = get_object_or_404(User, pk=pk)
    end_sessions(request, found)
    messages.success(request, _("%(name)s is signed out everywhere.") % {"name": found}, extra_tags="ui-check")
    return redirect("person", pk=pk)


def end_sessions(request: HttpRequest, found: User) -> None:
    with transaction.atomic():
        User.objects.filter(pk=found.pk).update(session_round=F("session_round") + 1)
        record(request, "session.end_all", found.get_username(), person=found)
    forget_person(found.pk)


@for_acting_admins
@require_POST
def second_factor(request: HttpRequest, pk: int) -> HttpResponse:
    """For who has lost it: they sign in by the password alone, and can set up another."""
    found = get_object_or_404(User, pk=pk)
    if may_reset(request, found) and has_second_factor(found):
        with transaction.atomic():
            factors_of(found).delete()
            record(request, "person.second_factor", found.get_username(), person=found, detail="removed: all")
        said = _("%(name)s signs in without a second factor until they set one up again.")
        messages.success(request, said % {"name": found}, extra_tags="ui-check")
    return redirect("person", pk=pk)


def factors_of(found: User) -> QuerySet[Any]:
    from allauth.mfa.models import Authenticator

    factors: QuerySet[Any] = Authenticator.objects.filter(user=found)
    return factors


def has_second_factor(found: User) -> bool:
    return settings.ALLAUTH and factors_of(found).exists()


def may_reset(request: HttpRequest, found: User) -> bool:
    """Whoever has another's password is them: so nobody makes one for a superuser who is none, as in Django's admin."""
    return found.is_active and (request.user.is_superuser or not found.is_superuser)
