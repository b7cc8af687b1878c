"""Invitations and links for a new password: made by an admin, handed over or mailed, used once by whoever has them."""

import logging
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from axes.handlers.proxy import AxesProxyHandler
from django import forms
from django.conf import settings
from django.contrib import auth, messages
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import SetPasswordForm
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from dashboard import mail
from dashboard.access import ROLE_NAMES, give_role
from dashboard.addresses import client_address
from dashboard.audit import record
from dashboard.insight.outcome import day_and_time
from dashboard.middleware import forget_person
from dashboard.models import Invitation, User
from dashboard.views.health import not_allowed
from dashboard.views.people import RightsForm, for_acting_admins, may_reset, names_seen, sees_words
from dashboard.views.sign_in import NewPersonForm, minutes_to_wait

log = logging.getLogger(__name__)

# What guesses are counted under, by address, as wrong passwords are. No name that anybody can have.
GUESSED = {"username": "(a link)"}

if TYPE_CHECKING:
    NewPasswordForm = SetPasswordForm[User]
else:
    NewPasswordForm = SetPasswordForm


class InvitationForm(RightsForm):
    email = forms.EmailField(
        label=gettext_lazy("E-mail address"),
        required=False,
        help_text=gettext_lazy("Whom it is for. It stands in their profile, and in the list until they come."),
    )

    field_order = ["email", "role", "sees", "connections"]


# --- Made -------------------------------------------------------------------------------------------------------------


@for_acting_admins
@require_http_methods(["GET", "POST"])
def invite(request: HttpRequest) -> HttpResponse:
    form = InvitationForm(request.POST or None, initial={"role": "viewer"})
    by_mail = "mail" in request.POST
    if request.method == "POST" and form.is_valid():
        if by_mail and not form.cleaned_data["email"]:
            form.add_error("email", _("Enter the address that it is sent to, or make a link."))
        else:
            data = form.cleaned_data
            invitation = Invitation(
                email=data["email"],
                role=data["role"],
                is_limited=form.is_limited,
                made_by_id=request.user.pk,
                who=request.user.get_username(),
            )
            with transaction.atomic():
                token = invitation.new_token()
                invitation.save()
                invitation.connections.set(data["connections"])
                detail = f"as {invitation.role}, sees {sees_words(names_seen(invitation))}"
                record(request, "invitation.make", invitation.named, detail=detail)
            return hand_over(request, invitation, token, by_mail=by_mail)
    return render(request, "people/invite.html", {"form": form, "can_mail": mail.can_send()})


@for_acting_admins
@require_POST
def renew(request: HttpRequest, pk: int) -> HttpResponse:
    """A new link, for seven days from now; the one before it opens nothing any more."""
    invitation = get_object_or_404(Invitation.objects.select_related("person"), pk=pk, used_at=None, revoked_at=None)
    token = invitation.new_token()
    with transaction.atomic():
        open_yet = Invitation.objects.filter(pk=pk, used_at=None, revoked_at=None)
        renewed = open_yet.update(token_hash=invitation.token_hash, expires_at=invitation.expires_at)
        if renewed:
            record(request, "invitation.renew", invitation.named, person=invitation.person)
    if not renewed:
        messages.info(request, _("It was used or revoked in the meantime."), extra_tags="st-none")
        return redirect("people")
    return hand_over(request, invitation, token, by_mail="mail" in request.POST)


@for_acting_admins
@require_POST
def revoke(request: HttpRequest, pk: int) -> HttpResponse:
    invitation = get_object_or_404(Invitation.objects.select_related("person"), pk=pk)
    with transaction.atomic():
        if Invitation.objects.filter(pk=pk, used_at=None, revoked_at=None).update(revoked_at=timezone.now()):
            record(request, "invitation.revoke", invitation.named, person=invitation.person)
            messages.success(request, _("Revoked: the link opens nothing any more."), extra_tags="ui-check")
        elif Invitation.objects.filter(pk=pk).exclude(used_at=None).exists():
            messages.info(request, _("Somebody has used it already."), extra_tags="st-none")
    return redirect("people")


@for_acting_admins
@require_POST
def reset(request: HttpRequest, pk: int) -> HttpResponse:
    """A link by which somebody chooses a new password. Until it is used the old one works."""
    found = get_object_or_404(User, pk=pk)
    if not may_reset(request, found):
        said = _("The first admin's password is changed on the server: uv run manage.py changepassword %(name)s")
        messages.info(request, said % {"name": found.get_username()}, extra_tags="st-failed")
        return redirect("person", pk=pk)
    invitation = Invitation(
        email=found.email, person=found, made_by_id=request.user.pk, who=request.user.get_username()
    )
    with transaction.atomic():
        Invitation.objects.revoke_resets(found)
        token = invitation.new_token()
        invitation.save()
        record(request, "person.reset", found.get_username(), person=found)
    return hand_over(request, invitation, token, by_mail="mail" in request.POST)


def hand_over(request: HttpRequest, invitation: Invitation, token: str, *, by_mail: bool) -> HttpResponse:
    """By mail; or, without it and when it fails, on a page that shows the link this once."""
    link, why_not = link_of(request, token), ""
    if by_mail and invitation.email and mail.can_send():
        why_not = mail.send(invitation.email, *mail_of(request, invitation, link))
        if not why_not:
            said = _("Sent to %(address)s. The link in it works until %(time)s.")
            until = day_and_time(invitation.expires_at)
            messages.success(request, said % {"address": invitation.email, "time": until}, extra_tags="ui-check")
            return redirect("people")
    return render(request, "people/link.html", {"invitation": invitation, "link": link, "why_not": why_not})


def link_of(request: HttpRequest, token: str) -> str:
    """As others reach it: by DASHBOARD_URL, else as this request came."""
    path = reverse("invitation", args=[token])
    if settings.URL:
        url = urlsplit(settings.URL)
        return f"{url.scheme}://{url.netloc}{path}"
    return request.build_absolute_uri(path)


def mail_of(request: HttpRequest, invitation: Invitation, link: str) -> tuple[str, str]:
    """Subject and text."""
    said = {"who": request.user, "link": link, "time": f"{day_and_time(invitation.expires_at)}"}
    if invitation.person:
        said["name"] = invitation.person.get_username()
        subject = _("Batches: choose a new password")
        text = _(
            "%(who)s has made this link, by which you choose a new password for %(name)s:\n\n%(link)s\n\n"
            "It works once, until %(time)s. If you did not ask for it, leave it: your password stays as it is.\n"
        )
    else:
        subject = _("You are invited to Batches")
        text = _(
            "%(who)s invites you to Batches, a dashboard for batch jobs. Choose a name and a password here:\n\n"
            "%(link)s\n\nIt works once, until %(time)s. Whoever has this link can use it, so do not pass it on.\n"
        )
    return subject, text % said


# --- Used -------------------------------------------------------------------------------------------------------------


class ResetForm(NewPasswordForm):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.fields["new_password1"].help_text = _("At least 8 characters, and not one of the common passwords.")
        self.fields["new_password2"].label = _("New password, once more")
        self.fields["new_password2"].help_text = ""


@login_not_required
@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """The form for whoever has the link. A wrong, a used, an expired and a revoked one look the same."""
    response = answered(request, token)
    # The token stands in this page's address, so only the origin is passed on, to ourselves too. Not "no-referrer":
    # with it browsers send the form with `Origin: null`, which the CSRF check refuses.
    response["Referrer-Policy"] = "strict-origin"
    return response


def answered(request: HttpRequest, token: str) -> HttpResponse:
    if not AxesProxyHandler.is_allowed(request, GUESSED):
        return too_many(request)
    found = Invitation.objects.usable().filter(token_hash=Invitation.hash(token)).select_related("person").first()
    if found is None or (found.person and not found.person.is_active):
        return spent(request)
    if request.method == "POST" and settings.READ_ONLY:
        return not_allowed(request)
    form: NewPersonForm | ResetForm
    data = request.POST or None
    form = ResetForm(found.person, data) if found.person else NewPersonForm(data, instance=User(email=found.email))
    if request.method == "POST" and form.is_valid():
        user = accept(request, form, token)
        if user is None:
            return spent(request)
        return enter(request, user)
    context = {"form": form, "invitation": found, "role": ROLE_NAMES.get(found.role, "")}
    return render(request, "people/invitation.html", context)


def enter(request: HttpRequest, user: User) -> HttpResponse:
    """Signed in instead of whoever was; a link stands for the password, and never for the second factor."""
    if not settings.ALLAUTH:
        auth.login(request, user, backend="dashboard.access.Roles")
        return redirect("overview")
    from allauth.account.utils import perform_login

    auth.logout(request)
    asked: HttpResponse = perform_login(request, user, redirect_url=reverse("overview"))
    return asked


def accept(request: HttpRequest, form: NewPersonForm | ResetForm, token: str) -> User | None:
    """Who may come in now; None for whoever comes second with the same link."""
    with transaction.atomic():
        used = Invitation.use(token)
        if used is None:
            return None
        user: User = form.save(commit=used.person is None)
        address = client_address(request)
        if used.person:
            # Nothing else: an admin may have deactivated or limited them since they were read.
            user.save(update_fields=["password"])
            detail = f"by a link of {used.who}"
            record(user, "person.password", user.get_username(), person=user, detail=detail, address=address)
        else:
            user.is_limited = used.is_limited and used.role != "admin"
            user.save(update_fields=["is_limited"])
            user.connections.set(used.connections.all())
            give_role(user, used.role)
            detail = f"as {used.role}, sees {sees_words(names_seen(user))}, invited by {used.who}"
            record(user, "invitation.accept", user.get_username(), person=user, detail=detail, address=address)
        Invitation.objects.filter(pk=used.pk).update(used_by=user)
    forget_person(user.pk)
    return user


def spent(request: HttpRequest) -> HttpResponse:
    """Counts as a guess: whoever tries many from one address has to wait, as with wrong passwords."""
    AxesProxyHandler.update_request(request)
    request.axes_path_info = ""  # type: ignore[attr-defined]  # the token stands in it, and axes would keep it
    AxesProxyHandler.user_login_failed(sender=invitation, credentials=GUESSED, request=request)
    if request.axes_locked_out:  # type: ignore[attr-defined]
        return too_many(request)
    return render(request, "people/spent.html", status=404)


def too_many(request: HttpRequest) -> HttpResponse:
    response = render(request, "people/spent.html", {"wait": True}, status=429)
    response["Retry-After"] = str(60 * minutes_to_wait(request, GUESSED["username"]))
    return response
