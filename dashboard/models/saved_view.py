"""A filter of the list under a name, for oneself or for the team."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import parse_qsl, urlencode

from django.conf import settings
from django.db import models
from django.db.models import Q

from dashboard.models.connection import Connection, visible_connections

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser

    from dashboard.models.user import User

# What of the list's address a view keeps: not the place in it, which means nothing tomorrow.
KEPT = ("q", "status", "connection", "sort")


def kept_of(address: Mapping[str, str]) -> str:
    """The query string of a view, always in the same order, so that two can be compared."""
    values = {name: address.get(name, "").replace("\0", "").strip() for name in KEPT}
    return urlencode({name: value for name, value in values.items() if value and (name, value) != ("sort", "newest")})


def names_any(query: str, connections: Mapping[int, str]) -> bool:
    """Whether a view's query string is about one of these, by its number or by a name in the search."""
    asked = dict(parse_qsl(query))
    words = asked.get("q", "").casefold()
    return any(asked.get("connection") == str(pk) or name.casefold() in words for pk, name in connections.items())


class SavedViewQuerySet(models.QuerySet["SavedView"]):
    def visible_to(self, user: "User | AnonymousUser") -> Self:
        """One's own, and what others share; of that nothing which names a connection that one may not see."""
        if not user.pk:
            return self.none()
        found = self.filter(Q(owner=user.pk) | Q(shared=True))
        visible = visible_connections(user)
        if visible is None:
            return found
        hidden = dict(Connection.objects.exclude(pk__in=visible).values_list("pk", "name"))
        theirs = self.filter(shared=True).exclude(owner=user.pk).values_list("pk", "query")
        return found.exclude(pk__in=[pk for pk, query in theirs if names_any(query, hidden)])


def leave_to_team(collector: Any, field: Any, found: Any, using: str) -> None:
    """What a person shared outlives them, because others work with it; what they kept to themselves goes with them."""
    models.CASCADE(collector, field, found.filter(shared=False), using)
    models.SET_NULL(collector, field, found.filter(shared=True), using)


class SavedView(models.Model):
    """A name for a query string of the list. Whether it still makes sense is seen when it is opened."""

    name = models.CharField(max_length=80)
    # None: whoever made it is gone.
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=leave_to_team, null=True, related_name="saved_views")
    shared = models.BooleanField(default=False)
    query = models.TextField(blank=True)
    made_at = models.DateTimeField(auto_now_add=True)

    objects = SavedViewQuerySet.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "name"], name="one_name_an_owner")]
        permissions = [("share_view", "Can share a saved view with the team")]

    def __str__(self) -> str:
        return self.name
