"""Who may see and do what: every address of the product, for every role. A new address must be added here."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import AnonymousUser, Group
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dashboard.access import (
    CANCEL,
    CONNECT,
    SEE,
    groups_in,
    rights_of,
    role_for,
    role_needed,
    role_of,
    somebody_is_admin,
)
from dashboard.models import Batch, Connection, Invitation, SavedView, User
from dashboard.urls import urlpatterns
from tests.batches_made import batch_made, counts
from tests.cast import ClientOf
from tests.errors_made import RATE, errors_made, group_made
from tests.shares_made import share_made

type Rows = dict[str, int | str]  # the number of a row, or the token of a link

# Who may come in, the least first. "nobody" is not signed in, "stranger" is and has no role.
TOKEN = "a-token-of-256-bits-would-be-longer"
DAY = timedelta(days=1)
PEOPLE = ("nobody", "stranger", "vic", "ana", "mei")


@dataclass(frozen=True)
class Door:
    """An address, how it is used, and the least of the people who get through."""

    least: str
    method: str = "get"
    pk: str = ""
    more: tuple[object, ...] = ()  # further parts of the address
    data: dict[str, str] = field(default_factory=dict)


DOORS = {
    "overview": Door("vic"),
    "chart": Door("vic", more=("requests", "json")),
    "batches": Door("vic"),
    "batches-export": Door("vic", more=("csv",)),
    "columns": Door("vic", "post"),
    "saved-views": Door("vic"),
    "saved-view-add": Door("vic", "post"),
    "saved-view": Door("mei", pk="view"),
    "saved-view-delete": Door("mei", "post", "view"),
    "batch": Door("vic", pk="batch"),
    "batch-activity": Door("vic", pk="batch"),
    "batch-raw": Door("vic", pk="batch"),
    "batch-cancel": Door("ana", "post", "batch"),
    "attention": Door("vic"),
    "batch-suggestions": Door("vic"),
    "batch-errors-export": Door("vic", pk="batch", more=("csv",)),
    "batch-requests": Door("vic", pk="batch"),
    "batch-requests-export": Door("vic", pk="batch", more=("jsonl",)),
    "batch-request": Door("vic", pk="batch", more=("error", 1)),
    "batch-request-body": Door("ana", "post", "batch", more=("error", 1)),
    "batch-request-input": Door("ana", "post", "batch", more=("error", 1)),
    "input-line": Door("vic", pk="batch", more=(7,)),
    "input-line-read": Door("ana", "post", "batch", more=(7,)),
    "batch-files": Door("vic", pk="batch"),
    "batch-file-read": Door("ana", "post", "batch", more=("error",)),
    "batch-file-preview": Door("ana", "post", "batch", more=("error",)),
    "batch-file-download": Door("ana", "post", "batch", more=("error",)),
    "errors": Door("vic"),
    "error-group": Door("vic", pk="group"),
    "errors-export": Door("vic", more=("csv",)),
    "connections": Door("vic"),
    "connection-add": Door("mei"),
    "connection": Door("mei", pk="connection"),
    "connection-test": Door("mei", "post", "connection"),
    "connection-pause": Door("mei", "post", "connection"),
    "connection-delete": Door("mei", pk="connection"),
    "connection-restore": Door("mei", "post", "removed"),
    "people": Door("mei"),
    "invite": Door("mei"),
    "invitation-renew": Door("mei", "post", "invitation"),
    "invitation-revoke": Door("mei", "post", "invitation"),
    "person": Door("mei", pk="person"),
    "person-deactivate": Door("mei", pk="person"),
    "person-activate": Door("mei", "post", "person"),
    "person-sign-out": Door("mei", "post", "person"),
    "person-reset": Door("mei", "post", "person"),
    "person-second-factor": Door("mei", "post", "person"),
    "invitation": Door("nobody", more=(TOKEN,)),
    "audit": Door("mei"),
    "audit-export": Door("mei", more=("csv",)),
    "wall": Door("vic"),
    "wall-by-link": Door("nobody", pk="wall"),
    "you": Door("vic"),
    "you-look": Door("vic", "post", data={"theme": "dark"}),
    "you-password": Door("vic", "post"),
    "you-sign-out": Door("vic", "post"),
    "shares": Door("ana"),
    "share-add": Door("ana"),
    "share": Door("ana", pk="share"),
    "share-rotate": Door("ana", "post", "share"),
    "share-revoke": Door("ana", "post", "share"),
    "share-take-over": Door("mei", "post", "others"),
    "shared": Door("nobody", pk="list"),
    "shared-password": Door("nobody", pk="list"),
    "wall-password": Door("nobody", pk="wall"),
    "login": Door("nobody"),
    "first-admin": Door("nobody"),
    "logout": Door("nobody", "post"),
    "healthz": Door("nobody"),
    "readyz": Door("nobody"),
    "robots": Door("nobody"),
}
ACTS = [name for name, door in DOORS.items() if door.least in {"ana", "mei"}]


@pytest.fixture
def rows(ana: User, mei: User) -> Rows:
    """A connection to nowhere, a finished batch of it, and a connection that was removed."""
    connection = Connection.objects.create(name="nowhere", base_url="http://127.0.0.1:9/v1", auth_style="none")
    batch = batch_made(connection, "completed", **counts(3, 2, 1))
    errors_made(batch, {RATE: 1})
    removed = Connection.objects.create(name="removed", base_url="http://127.0.0.1:9/v1", retired_at=timezone.now())
    view = SavedView.objects.create(name="of somebody who is gone", shared=True)
    invitation = Invitation(role="viewer", token_hash=Invitation.hash(TOKEN), expires_at=timezone.now() + DAY)
    invitation.save()
    return {
        "invitation": invitation.pk,
        "person": User.objects.create_user("otto").pk,
        "view": view.pk,
        "share": share_made(ana)[0].pk,
        "others": share_made(mei)[0].pk,
        "list": share_made(mei)[1],
        "wall": share_made(mei, "wall")[1],
        "connection": connection.pk,
        "batch": batch.pk,
        "removed": removed.pk,
        "group": group_made(RATE).pk,
    }


def address_of(name: str, rows: Rows) -> str:
    door = DOORS[name]
    return reverse(name, args=[*([rows[door.pk]] if door.pk else []), *door.more])


@pytest.fixture
def somebody(request: pytest.FixtureRequest, client_of: ClientOf) -> Callable[[str], Client]:
    def of(who: str) -> Client:
        return Client() if who == "nobody" else client_of(request.getfixturevalue(who))

    return of


def test_every_address_is_in_the_table() -> None:
    names = {pattern.name for pattern in urlpatterns if hasattr(pattern, "name")}
    assert names == set(DOORS), "add the new address to DOORS and say who may use it"


@pytest.mark.parametrize("who", PEOPLE)
@pytest.mark.parametrize("name", DOORS)
def test_each_role_gets_exactly_as_far_as_it_may(
    name: str, who: str, rows: Rows, somebody: Callable[[str], Client]
) -> None:
    door = DOORS[name]
    address = address_of(name, rows)
    response = getattr(somebody(who), door.method)(address, door.data)
    if PEOPLE.index(who) >= PEOPLE.index(door.least):
        assert response.status_code not in {401, 403, 404, 405, 500}
        assert not response.get("Location", "").startswith("/sign-in/?next=")
    elif who == "nobody":
        assert response.status_code == 302
        assert response["Location"].startswith("/sign-in/")
    else:
        assert response.status_code == 403


@pytest.mark.parametrize("name", ACTS)
def test_a_refusal_names_the_role_needed(name: str, rows: Rows, somebody: Callable[[str], Client]) -> None:
    door = DOORS[name]
    address = address_of(name, rows)
    response = getattr(somebody("vic"), door.method)(address, headers={"HX-Request": "true"})
    role = "operator" if door.least == "ana" else "admin"
    assert response.status_code == 403
    assert role in response["X-Reason"]
    assert role in getattr(somebody("vic"), door.method)(address).content.decode()


@pytest.mark.parametrize("name", [name for name in ACTS if name != "batch-cancel"])
def test_where_only_looking_is_allowed_admins_cannot_act_either(
    name: str, rows: Rows, somebody: Callable[[str], Client], settings: LazySettings
) -> None:
    settings.READ_ONLY = True
    address = address_of(name, rows)
    assert somebody("mei").post(address).status_code == 405


def test_each_role_has_the_rights_of_the_one_before_it(vic: User, ana: User, mei: User, stranger: User) -> None:
    assert [role_of(user) for user in (stranger, vic, ana, mei)] == ["", "viewer", "operator", "admin"]
    assert role_of(AnonymousUser()) == ""
    assert set(rights_of("viewer")) < set(rights_of("operator")) < set(rights_of("admin"))
    assert [role_needed(right) for right in (SEE, CANCEL, CONNECT)] == ["viewer", "operator", "admin"]


def test_querysets_show_nothing_to_who_may_see_nothing(rows: Rows, vic: User, stranger: User) -> None:
    for user, seen in ((vic, 1), (stranger, 0), (AnonymousUser(), 0)):
        assert Connection.objects.visible_to(user).count() == 2 * seen
        assert Batch.objects.visible_to(user).count() == seen


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("person", "counts"),
    [
        ({"is_superuser": True}, True),
        ({"is_superuser": True, "is_active": False}, False),
        ({"role": "admin"}, True),
        ({"role": "operator"}, False),
        ({"role": "admin", "password": None}, False),
    ],
)
def test_an_admin_is_somebody_who_can_sign_in_as_one(person: dict[str, object], counts: object) -> None:
    role = person.pop("role", "")
    password = person.pop("password", "a long enough one")
    user = User.objects.create_user("someone", password=password, **person)  # type: ignore[arg-type]
    if role:
        user.groups.add(Group.objects.get(name=role))
    assert somebody_is_admin() is counts


@pytest.mark.parametrize(
    ("claims", "path", "groups"),
    [
        ({"groups": ["a", "b"]}, "groups", {"a", "b"}),
        ({"groups": "a"}, "groups", {"a"}),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", {"a"}),
        ({"https://example.org/groups": ["a"]}, "https://example.org/groups", {"a"}),
        ({"groups": ["a", 7, None, {"name": "b"}]}, "groups", {"a"}),
        ({"groups": {"a": True}}, "groups", set()),
        ({"groups": ["a"]}, "groups.deeper", set()),
        ({}, "groups", set()),
    ],
)
def test_groups_are_read_from_where_providers_put_them(claims: dict[str, object], path: str, groups: set[str]) -> None:
    assert groups_in(claims, path) == groups


def test_of_several_groups_the_highest_role_counts() -> None:
    roles = {"ops": "operator", "chiefs": "admin", "*": "viewer"}
    assert role_for({"ops", "chiefs"}, roles) == "admin"
    assert role_for({"ops"}, roles) == "operator"
    assert role_for(set(), roles) == "viewer"
    assert role_for({"football"}, {"ops": "operator"}) == ""
    assert role_for({"*"}, {"ops": "operator"}) == ""
