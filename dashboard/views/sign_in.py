"""Signing in and out, and the one-time link that makes the first admin."""

import math
from typing import TYPE_CHECKING, Any

from axes.helpers import get_cool_off
from axes.models import AccessAttempt
from django.conf import settings
from django.contrib import auth
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.forms import AuthenticationForm, UserCreationForm, UsernameField
from django.contrib.auth.models import Group
from django.contrib.auth.views import LoginView
from django.db import transaction
from django.db.models import Max
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST

from dashboard.access import somebody_is_admin
from dashboard.middleware import client_address
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
            return super().form_valid(form)
        from allauth.account.utils import perform_login

        # Asks for the second factor first, where this person has one.
        response: HttpResponse = perform_login(self.request, form.get_user(), redirect_url=self.get_success_url())
        return response


def locked_out(request: HttpRequest, _response: Any = None, credentials: dict[str, Any] | None = None) -> HttpResponse:
    """The answer of axes when a name was tried too often from one address: how long to wait, in words and as header."""
    name = (credentials or {}).get("username") or request.POST.get("username", "")
    attempts = AccessAttempt.objects.filter(username=name, ip_address=client_address(request))
    last = attempts.aggregate(last=Max("attempt_time"))["last"] or timezone.now()
    wait = get_cool_off(request) - (timezone.now() - last)
    minutes = max(1, math.ceil(wait.total_seconds() / 60))
    sentence = ngettext(
        "Too many wrong passwords for this name. Wait %(minutes)d minute, then try again.",
        "Too many wrong passwords for this name. Wait %(minutes)d minutes, then try again.",
        minutes,
    ) % {"minutes": minutes}
    context = {"form": SignInForm(request), "locked": sentence, "next": request.POST.get("next", "")}
    context |= SignIn.extra_context
    response = render(request, "sign_in/sign_in.html", context, status=429)
    response["Retry-After"] = str(minutes * 60)
    return response


@login_not_required
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    auth.logout(request)
    return redirect("login")


if TYPE_CHECKING:
    NewUserForm = UserCreationForm[User]
else:
    NewUserForm = UserCreationForm


class FirstAdminForm(NewUserForm):
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
        form = FirstAdminForm(request.POST or None)
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


def make_first_admin(request: HttpRequest, form: FirstAdminForm, token: str) -> User | None:
    """The new admin; None for whoever comes second with the same link."""
    with transaction.atomic():
        if not SignInLink.use(token):
            return None
        admin: User = form.save(commit=False)
        admin.is_staff = admin.is_superuser = True
        admin.save()
        admin.groups.add(Group.objects.get(name="admin"))
        AuditEntry.objects.create(
            actor=admin.get_username(),
            verb="first-admin",
            target=admin.get_username(),
            detail="by a one-time link",
            address=client_address(request),
        )
    return admin
