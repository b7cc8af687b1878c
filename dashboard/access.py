"""Who may see and do what: the one table of rights, as Django groups and permissions."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.auth.backends import ModelBackend
from django.db import connection as database
from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from dashboard.models import User

SEE = "dashboard.view_batch"
CANCEL = "dashboard.cancel_batch"
# What people sent to a model, and what it answered. Everything else is names, numbers and errors.
READ_BODIES = "dashboard.read_bodies"
CONNECT = "dashboard.change_connection"
SHARE = "dashboard.share_view"
# Links for whoever has them: one's own are an operator's, everybody's an admin's.
LINK = "dashboard.add_share"
EDIT_LINKS = "dashboard.change_share"
AUDIT = "dashboard.view_auditentry"
EDIT_SHARED = "dashboard.change_savedview"  # what others share; one's own needs no right
PEOPLE = "dashboard.change_user"

# Each role has the rights of the one before it.
ROLES: dict[str, tuple[str, ...]] = {
    "viewer": (SEE, "dashboard.view_connection"),
    "operator": (CANCEL, READ_BODIES, SHARE, LINK),
    "admin": (
        CONNECT,
        EDIT_SHARED,
        "dashboard.add_connection",
        "dashboard.delete_connection",
        PEOPLE,
        "dashboard.add_user",
        "dashboard.view_user",
        EDIT_LINKS,
        AUDIT,
    ),
}
ROLE_NAMES = {"viewer": _("viewer"), "operator": _("operator"), "admin": _("admin")}


def rights_of(role: str) -> list[str]:
    """Every permission of a role, those of lesser roles included."""
    rights: list[str] = []
    for name, own in ROLES.items():
        rights += own
        if name == role:
            break
    return rights


def role_needed(right: str) -> str:
    """The least role that holds a right, for the sentence that a refusal shows."""
    return next(name for name, own in ROLES.items() if right in own)


def role_of(user: "User | AnonymousUser") -> str:
    """The highest role whose rights this person has; empty for none."""
    if user.is_active and user.is_superuser:
        return next(reversed(ROLES))
    rights = user.get_all_permissions()
    held = [role for role in ROLES if rights.issuperset(rights_of(role))]
    return held[-1] if held else ""


def groups_in(claims: Mapping[str, Any], path: str) -> set[str]:
    """The groups that a token or the provider's answer names: a list or one name, perhaps deeper, as Keycloak's
    `realm_access.roles`."""
    found: Any = claims
    for name in [path] if path in claims else path.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    names = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    return {name for name in names if isinstance(name, str)}


def role_for(groups: set[str], roles: Mapping[str, str]) -> str:
    """The highest role that these groups are worth; empty for none. `*` is everybody."""
    held = {role for group, role in roles.items() if group == "*" or group in groups}
    return next((role for role in reversed(ROLES) if role in held), "")


def somebody_is_admin() -> bool:
    """Whether anybody who can sign in may edit connections and people: with a password, or through the provider."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
    from django.db.models import Q

    people = get_user_model()._default_manager.filter(Q(is_superuser=True) | Q(groups__name="admin"), is_active=True)
    if not settings.OIDC_URL:
        people = people.exclude(password="").exclude(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    return people.exists()


def make_roles() -> None:
    """Create or correct the groups; called after every migration."""
    from django.apps import apps
    from django.contrib.auth.management import create_permissions
    from django.contrib.auth.models import Group, Permission

    # Permissions are made by a post_migrate receiver too, and receivers have no order.
    create_permissions(apps.get_app_config("dashboard"), verbosity=0)
    known = {f"dashboard.{p.codename}": p for p in Permission.objects.filter(content_type__app_label="dashboard")}
    for role in ROLES:
        group, _made = Group.objects.get_or_create(name=role)
        group.permissions.set([known[right] for right in rights_of(role)])


WITH_RIGHTS = """
SELECT person.*, (
    SELECT {join} FROM auth_permission p
    JOIN django_content_type t ON t.id = p.content_type_id
    JOIN auth_group_permissions gp ON gp.permission_id = p.id
    JOIN dashboard_user_groups ug ON ug.group_id = gp.group_id
    WHERE ug.user_id = person.id AND t.app_label = 'dashboard'
) AS rights, (
    SELECT {join_limits} FROM dashboard_user_connections uc WHERE uc.user_id = person.id AND person.is_limited
) AS limits FROM dashboard_user person WHERE person.id = %s
"""


def joined(column: str) -> str:
    return f"group_concat({column})" if database.vendor == "sqlite" else f"string_agg({column}::text, ',')"


class Roles(ModelBackend):
    """Django's own, but a person comes with the rights of their groups and the limits of what they see in one query,
    where Django asks four times.

    Rights are held by groups alone: what stands on a single person is not read.
    """

    def get_user(self, user_id: Any) -> "User | None":
        from dashboard.models import User

        # By hand: the ORM takes longer to write this query than the database to answer it, at every page.
        query = WITH_RIGHTS.format(join=joined("p.codename"), join_limits=joined("uc.connection_id"))
        found = next(iter(User.objects.raw(query, [user_id])), None)
        return found if found is not None and self.user_can_authenticate(found) else None

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        if not user_obj.is_active or user_obj.is_anonymous or obj is not None or user_obj.is_superuser:
            return super().get_all_permissions(user_obj, obj)
        if not hasattr(user_obj, "rights"):
            # Somebody who did not come through a session.
            user_obj.rights = ",".join(codename.partition(".")[2] for codename in self.get_group_permissions(user_obj))
        return {f"dashboard.{codename}" for codename in (user_obj.rights or "").split(",") if codename}
