"""What django-allauth asks us: who may come in by a provider of identities, and as what. Loaded where it is used alone:
DASHBOARD_OIDC_URL, DASHBOARD_SECOND_FACTOR.

Somebody is known by the provider's `sub`, never by a name or an address, which may change hands.
"""

import logging
from collections.abc import Callable
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialLogin
from allauth.socialaccount.providers.openid_connect.views import callback, login
from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.models import Group
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import reverse
from requests import RequestException

from dashboard.access import groups_in, role_for
from dashboard.models import User

log = logging.getLogger("dashboard.access")


def role_said(login: SocialLogin) -> str:
    """The role that the provider's groups give now."""
    said = login.account.extra_data
    groups = [groups_in(said.get(part) or {}, settings.OIDC_GROUPS) for part in ("userinfo", "id_token")]
    return role_for(groups[0] | groups[1], settings.OIDC_ROLES)


def give_role(user: User, role: str) -> None:
    """Exactly this role. It acts within REMEMBER_SECONDS on pages that are open."""
    if list(user.groups.values_list("name", flat=True)) != [role]:
        user.groups.set([Group.objects.get(name=role)])
        log.info("user %s has the role %s, by the groups of the provider", user.pk, role)


@login_not_required
def begin(request: HttpRequest, provider_id: str) -> HttpResponse:
    """To the provider's page; where to, it is asked first."""
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
            if role:
                give_role(sociallogin.user, role)
            else:
                sociallogin.user.groups.clear()
        if not role:
            context = {"provider": settings.OIDC_NAME}
            raise ImmediateHttpResponse(render(request, "socialaccount/no_role.html", context, status=403))

    def save_user(self, request: HttpRequest, sociallogin: SocialLogin, form: Any = None) -> User:
        user: User = super().save_user(request, sociallogin, form)
        if settings.OIDC_ROLES:
            give_role(user, role_said(sociallogin))
        return user

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        """The page that follows says only that it failed. Which request failed and how, and never what was in it."""
        log.warning("sign-on through the provider failed: %s %s", error, type(exception).__name__)

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        return reverse("you")
