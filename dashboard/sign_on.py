"""What django-allauth asks us: who may come in by a provider of identities, and as what. Loaded where it is used alone:
DASHBOARD_OIDC_URL, DASHBOARD_SECOND_FACTOR.

Somebody is known by the provider's `sub`, never by a name or an address, which may change hands.
"""

import logging
from collections.abc import Callable
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.mfa.adapter import DefaultMFAAdapter
from allauth.mfa.models import Authenticator
from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.openid_connect.views import callback, login
from allauth.socialaccount.signals import social_account_added, social_account_removed
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils import timezone
from requests import RequestException

from dashboard import vault
from dashboard.access import give_role, groups_in, role_for, role_of
from dashboard.addresses import client_address
from dashboard.audit import record
from dashboard.models import Invitation, User

log = logging.getLogger("dashboard.access")


def role_said(login: SocialLogin) -> str:
    """The role that the provider's groups give now."""
    said = login.account.extra_data
    groups = [groups_in(said.get(part) or {}, settings.OIDC_GROUPS) for part in ("userinfo", "id_token")]
    return role_for(groups[0] | groups[1], settings.OIDC_ROLES)


def keep_role(request: HttpRequest, user: User, role: str) -> None:
    """Exactly this role, or none. It acts within REMEMBER_SECONDS on pages that are open."""
    # Whoever is deactivated has no rights to compare, and is not let in either.
    if user.is_active and (before := role_of(user)) != role:
        give_role(user, role)
        if before == "admin":
            for invitation in Invitation.objects.usable().filter(made_by=user):
                invitation.revoked_at = timezone.now()
                invitation.save(update_fields=["revoked_at"])
                detail = "together with the rights of who made it"
                record(user, "invitation.revoke", invitation.named, detail=detail, address=client_address(request))
        words = f"by the groups of {settings.OIDC_NAME}"
        record(
            user,
            "person.edit",
            user,
            person=user,
            detail=words,
            changes={"role": (before, role)},
            address=client_address(request),
        )


@login_not_required
def begin(request: HttpRequest, provider_id: str) -> HttpResponse:
    """To the provider's page; where to, it is asked first."""
    if (
        request.GET.get("process") == "connect"
        and request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin"
    ):
        # Another site must not tie somebody's account here to an identity of its choice.
        return redirect("socialaccount_connections")
    return said_if_failed(request, lambda: login(request, provider_id))


@login_not_required
def back(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Back from the provider's page, with a code that it is asked about."""
    return said_if_failed(request, lambda: callback(request, provider_id))


def said_if_failed(request: HttpRequest, call: Callable[[], HttpResponse]) -> HttpResponse:
    try:
        return call()
    except RequestException as error:
        # Its words may hold the address with the code in it.
        log.warning("the provider of identities cannot be asked: %s", type(error).__name__)
        return render(request, "socialaccount/authentication_error.html", status=502)


class Accounts(DefaultAccountAdapter):  # type: ignore[misc]
    """People are invited, or come through the provider: nobody signs up by themselves."""

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return False

    def login(self, request: HttpRequest, user: User) -> None:
        user.backend = "dashboard.access.Roles"
        super().login(request, user)
        record(request, "session.sign_in", user.get_username())


class Factors(DefaultMFAAdapter):  # type: ignore[misc]
    """Secrets of second factors lie in the database as vendors' keys do: sealed."""

    def encrypt(self, text: str) -> str:
        return vault.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        """Empty when no key of today opens it: then no code is right, and an admin can remove the factor."""
        try:
            return vault.unseal(encrypted_text)
        except vault.KeyLost:
            return ""


class SignOn(DefaultSocialAccountAdapter):  # type: ignore[misc]
    """The provider's word on who somebody is, and, with DASHBOARD_OIDC_ROLES, on what they may do here."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: SocialLogin) -> bool:
        return True

    def pre_social_login(self, request: HttpRequest, sociallogin: SocialLogin) -> None:
        """Each time, so that whoever left the group comes in no more. Refuses who has no role by it."""
        if not settings.OIDC_ROLES or sociallogin.state.get("process") == "connect":
            return
        role = role_said(sociallogin)
        if sociallogin.is_existing:
            keep_role(request, sociallogin.user, role)
        if not role:
            context = {"provider": settings.OIDC_NAME}
            raise ImmediateHttpResponse(render(request, "socialaccount/no_role.html", context, status=403))

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        user: User = super().save_user(request, sociallogin, form)
        if settings.OIDC_ROLES:
            keep_role(request, user, role_said(sociallogin))
        return user

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        """The page that follows says only that it failed. Which request failed and how, and never what was in it."""
        log.warning("sign-on through the provider failed: %s %s", error, type(exception).__name__)

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        return reverse("you")


@receiver([authenticator_added, authenticator_removed, authenticator_reset])
def note_second_factor(signal: Any, request: HttpRequest, user: User, authenticator: Authenticator, **_: Any) -> None:
    did = {id(authenticator_added): "added", id(authenticator_removed): "removed"}.get(id(signal), "made anew")
    record(request, "person.second_factor", user.get_username(), person=user, detail=f"{did}: {authenticator.type}")


@receiver([social_account_added, social_account_removed])
def note_connected(signal: Any, request: HttpRequest, **said: Any) -> None:
    verb = "person.connect" if signal is social_account_added else "person.disconnect"
    record(request, verb, request.user.get_username(), detail=settings.OIDC_NAME)
