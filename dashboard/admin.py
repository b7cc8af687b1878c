"""Django's admin, for looking inside; only there with DASHBOARD_ADMIN=1. Edits nothing but people.

The role admin opens it, without Django's own is_staff. Connections are changed on their own page, where a change is
audited and seen by open pages. Keys are never shown here.
"""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from dashboard.access import PEOPLE
from dashboard.models import AuditEntry, Batch, Connection, User

if TYPE_CHECKING:
    Admin = admin.ModelAdmin[Any]
    PeopleAdmin = UserAdmin[User]
else:
    Admin = admin.ModelAdmin
    PeopleAdmin = UserAdmin


def may_enter(request: HttpRequest) -> bool:
    """Whoever may edit people, which is what it is for; `is_staff` says nothing of that."""
    return request.user.is_active and request.user.has_perm(PEOPLE)


admin.site.has_permission = may_enter  # type: ignore[method-assign]


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
class PersonAdmin(PeopleAdmin):
    list_display = ("username", "email", "is_active", "is_superuser", "last_login")
    filter_horizontal = ("groups",)
    # Without permissions of a single person: rights come from the groups viewer, operator and admin alone.
    fieldsets = (
        (None, {"fields": ("username", "password")}),
        (_("Person"), {"fields": ("first_name", "last_name", "email")}),
        (_("Rights"), {"fields": ("is_active", "is_superuser", "groups")}),
    )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        """Nobody makes a superuser, of themselves or of another, who is none."""
        return () if request.user.is_superuser else ("is_superuser",)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Nor becomes one by another's password."""
        above = obj is not None and obj.is_superuser and not request.user.is_superuser
        return not above and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        above = obj is not None and obj.is_superuser and not request.user.is_superuser
        return not above and super().has_delete_permission(request, obj)
