"""Django's admin, for looking inside; only there with DASHBOARD_ADMIN=1. Edits nothing.

The role admin opens it, without Django's own is_staff. Connections and people are changed on their own pages, where a
change is audited and seen by open pages. Keys are never shown here.
"""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from dashboard.access import PEOPLE
from dashboard.models import AuditEntry, Batch, Connection, User

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Any]
else:
    Admin = admin.ModelAdmin


def may_enter(request: HttpRequest) -> bool:
    """Whoever may edit people, which is what it is for; `is_staff` says nothing of that."""
    return request.user.is_active and request.user.has_perm(PEOPLE)


def sign_in(request: HttpRequest, _extra_context: Any = None) -> HttpResponse:
    """One way in for everything: it notes who comes and asks for the second factor, which Django's own does not."""
    if request.user.is_authenticated and not may_enter(request):
        raise PermissionDenied
    return redirect("admin:index")


def change_password(_request: HttpRequest, _extra_context: Any = None) -> HttpResponse:
    """Likewise: there guesses at the old one are counted."""
    return redirect("you")


admin.site.has_permission = may_enter  # type: ignore[method-assign]
admin.site.login = sign_in  # type: ignore[method-assign, assignment]
admin.site.password_change = change_password  # type: ignore[method-assign, assignment]


def addresses() -> list[Any]:
    """Of what is ours: others would show secrets of second factors, and edit groups that every migration sets again.

    Asked when every app has registered what it has.
    """
    for model in [model for model in admin.site._registry if model._meta.app_label != "dashboard"]:
        admin.site.unregister(model)
    return every_address()


every_address, admin.site.get_urls = admin.site.get_urls, addresses  # type: ignore[method-assign]


class LookOnly(Admin):
    """What may be looked at and not touched, whoever looks."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Connection)
class ConnectionAdmin(LookOnly):
    list_display = ("name", "base_url", "health", "synced_at", "paused_by", "retired_at")
    # Sealed or not, a key has no business in a page; nor have the headers that go with it.
    exclude = ("sealed_key", "sealed_act_key", "extra_headers", "claim_token")


@admin.register(Batch)
class BatchAdmin(LookOnly):
    list_display = ("remote_id", "name", "connection", "status", "outcome", "ordered_at")
    list_filter = ("connection", "status")
    list_select_related = ("connection",)
    exclude = ("payload", "search_text")
    # Counting a million rows takes longer than the page.
    show_full_result_count = False


@admin.register(AuditEntry)
class AuditEntryAdmin(LookOnly):
    list_display = ("at", "actor", "verb", "target", "detail", "address")
    date_hierarchy = "at"


@admin.register(User)
class PersonAdmin(LookOnly):
    """Changed at /people/ alone: there it is audited, ends sessions, and leaves one admin at least."""

    list_display = ("username", "email", "is_active", "is_superuser", "last_login")
    fields = (
        *("username", "first_name", "last_name", "email", "is_active", "is_superuser", "groups"),
        *("is_limited", "connections", "date_joined", "last_login"),
    )
