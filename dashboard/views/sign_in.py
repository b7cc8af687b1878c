"""Signing in and out, and the one-time link that makes the first admin."""

import math
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from axes.helpers import get_cool_off
from axes.models import AccessAttempt
from axes.signals import user_locked_out
from django.conf import settings
from django.contrib import auth
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm, UserCreationForm, UsernameField
from django.contrib.auth.models import Group
from django.contrib.auth.views import LoginView
from django.db import transaction
from django.db.models import Max
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from dashboard.access import somebody_is_admin
from dashboard.addresses import client_address
from dashboard.audit import record
from dashboard.models import AuditEntry, SignInLink, User


class SignInForm(AuthenticationForm):
    """One sentence for every failure: it does not tell which names exist."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.fields["username"].label = _("Name")

    error_messages = {
        "invalid_login": gettext_lazy("This name and password do not go together. Mind capital letters."),
        "inactive": gettext_lazy("This name and password do not go together. Mind capital letters."),
    }


class SignIn(LoginView):
    template_name = "sign_in/sign_in.html"
    authentication_form = SignInForm
    redirect_authenticated_user = True
    extra_context = {"provider": settings.OIDC_NAME if settings.OIDC_URL else ""}

    def form_valid(self, form: AuthenticationForm) -> HttpResponse:
        if not settings.ALLAUTH:
            response = super().form_valid(form)
            record(self.request, "session.sign_in", self.request.user.get_username())
            return response
        from allauth.account.utils import perform_login

        # Asks for the second factor first, where this person has one.
        asked: HttpResponse = perform_login(self.request, form.get_user(), redirect_url=self.get_success_url())
        return asked


@receiver(user_locked_out)
def note_lock(request: HttpRequest, username: str, **_kwargs: Any) -> None:
    """Once a lock-out, however often it is tried again meanwhile."""
    address = client_address(request)
    since: datetime = timezone.now() - get_cool_off(request)
    noted = AuditEntry.objects.filter(verb="session.lock", target=username[:600], address=address, at__gt=since)
    if not noted.exists():
        record("somebody", "session.lock", username, address=address)


def locked_out(
    request: HttpRequest, response: HttpResponse | None = None, credentials: dict[str, Any] | None = None
) -> HttpResponse:
    """The answer of axes when a name was tried too often from one address: how long to wait, in words and as header.

    Where the guesses were of something else than the password of a sign-in, that page says so itself.
    """
    if response and response.status_code == 429:
        return response
    minutes = minutes_to_wait(request, (credentials or {}).get("username") or request.POST.get("username", ""))
    sentence = locked_words(minutes)
    context = {"form": SignInForm(request), "locked": sentence, "next": request.POST.get("next", "")}
    context |= SignIn.extra_context
    response = render(request, "sign_in/sign_in.html", context, status=429)
    response["Retry-After"] = str(minutes * 60)
    return response


def minutes_to_wait(request: HttpRequest, name: str) -> int:
    """Until this name may be tried again from where the request came."""
    attempts = AccessAttempt.objects.filter(username=name, ip_address=client_address(request))
    last = attempts.aggregate(last=Max("attempt_time"))["last"] or timezone.now()
    wait: timedelta = get_cool_off(request) - (timezone.now() - last)
    return max(1, math.ceil(wait.total_seconds() / 60))


def locked_words(minutes: int) -> str:
    return ngettext(
        "Too many wrong passwords for this name. Wait %(minutes)d minute, then try again.",
        "Too many wrong passwords for this name. Wait %(minutes)d minutes, then try again.",
        minutes,
    ) % {"minutes": minutes}


@login_not_required
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    if request.user.is_authenticated:
        record(request, "session.sign_out", request.user.get_username())
    auth.logout(request)
    return redirect("login")


if TYPE_CHECKING:
    NewUserForm = UserCreationForm[User]
else:
    NewUserForm = UserCreationForm


class NewPersonForm(NewUserForm):
    class Meta:
        model = User
        fields = ("username",)
        field_classes = {"username": UsernameField}  # with the hints that password managers go by

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.fields["username"].label = _("Name to sign in with")
        self.fields["username"].help_text = ""
        self.fields["password1"].help_text = _("At least 8 characters, and not one of the common passwords.")
        self.fields["password2"].label = _("Password, once more")
        self.fields["password2"].help_text = ""


@login_not_required
@never_cache
@sensitive_post_parameters()
@require_http_methods(["GET", "POST"])
def first(request: HttpRequest) -> HttpResponse:
    """A form for whoever holds the link that `up` printed. The token comes in the address, then goes in the form."""
    token = request.POST.get("token") or request.GET.get("token", "")
    if somebody_is_admin():
        response = render(request, "sign_in/spent.html", {"has_admin": True}, status=410)
    elif not SignInLink.objects.usable().filter(token_hash=SignInLink.hash(token)).exists():
        response = render(request, "sign_in/spent.html", {"has_admin": False}, status=410)
    else:
        form = NewPersonForm(request.POST or None)
        if request.method == "POST" and form.is_valid():
            admin = make_first_admin(request, form, token)
            if admin is None:
                response = render(request, "sign_in/spent.html", {"has_admin": somebody_is_admin()}, status=410)
            else:
                auth.login(request, admin, backend="dashboard.access.Roles")
                response = redirect("overview")
        else:
            response = render(request, "sign_in/first.html", {"form": form, "token": token})
    # The token stands in this page's address, so only the origin is passed on, to ourselves too. Not "no-referrer":
    # with it browsers send the form with `Origin: null`, which the CSRF check refuses.
    response["Referrer-Policy"] = "strict-origin"
    return response


def make_first_admin(request: HttpRequest, form: NewPersonForm, token: str) -> User | None:
    """The new admin; None for whoever comes second with the same link."""
    with transaction.atomic():
        if not SignInLink.use(token):
            return None
        admin: User = form.save(commit=False)
        admin.is_staff = admin.is_superuser = True
        admin.save()
        admin.groups.add(Group.objects.get(name="admin"))
        detail, address = "by a one-time link", client_address(request)
        record(admin, "person.first_admin", admin.get_username(), person=admin, detail=detail, address=address)
    return admin
