"""/people/: who may come in, as what, and how much of it they see."""

import pytest
from django.test import Client
from django.utils import timezone

from dashboard import access
from dashboard.models import AuditEntry, Batch, Connection, Invitation, Share, User
from tests.batches_made import batch_made, connection_made
from tests.cast import PASSWORD, ClientOf, person

pytestmark = pytest.mark.django_db
EVERYTHING = {"role": "operator", "sees": "all"}


def audited() -> list[tuple[str, str]]:
    return list(AuditEntry.objects.order_by("pk").values_list("verb", "target"))


def role(user: User) -> str:
    return access.role_of(User.objects.get(pk=user.pk))


def share_of(maker: User, **columns: object) -> Share:
    share = Share(name="Ops", made_by=maker, who=str(maker), **({"kind": "wall"} | columns))
    share.new_token()
    share.save()
    return share


def test_it_lists_everybody_with_role_limits_and_state(admin: Client, vic: User, ana: User, prod: Connection) -> None:
    vic.is_limited = True
    vic.save()
    vic.connections.add(prod)
    User.objects.filter(pk=ana.pk).update(is_active=False)
    page = admin.get("/people/").content.decode()
    rows = {name: page.split(f">{name}</a>")[1].split("</tr>")[0] for name in ("vic", "ana", "mei")}
    assert "viewer" in rows["vic"]
    assert "OpenAI / prod" in rows["vic"]
    assert "every connection" in rows["mei"]
    assert "deactivated" in rows["ana"]


def test_a_role_is_changed_and_noted(admin: Client, vic: User) -> None:
    admin.post(f"/people/{vic.pk}/", EVERYTHING)
    assert role(vic) == "operator"
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.verb, entry.target, entry.person_id) == ("mei", "person.edit", "vic", vic.pk)
    assert entry.changes == {"role": ["viewer", "operator"]}


def test_limits_are_set_and_lifted(admin: Client, client_of: ClientOf, vic: User, prod: Connection) -> None:
    batch, other = batch_made(prod), batch_made(connection_made("Azure / eu"))
    admin.post(f"/people/{vic.pk}/", {"role": "viewer", "sees": "some", "connections": [prod.pk]})
    assert [found.pk for found in Batch.objects.visible_to(User.objects.get(pk=vic.pk))] == [batch.pk]
    assert client_of(vic).get(f"/batches/{other.pk}/").status_code == 404
    assert AuditEntry.objects.get().changes == {"sees": ["every connection", "OpenAI / prod"]}
    admin.post(f"/people/{vic.pk}/", {"role": "viewer", "sees": "all"})
    assert client_of(vic).get(f"/batches/{other.pk}/").status_code == 200


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"role": "admin", "sees": "some"}, "no admin can be limited"),
        ({"role": "viewer", "sees": "some"}, "Choose at least one"),
        ({"role": "boss", "sees": "all"}, "boss"),
        ({"role": "", "sees": "all"}, "required"),
    ],
)
def test_what_makes_no_sense_is_not_saved(
    admin: Client, vic: User, prod: Connection, given: dict[str, str], said: str
) -> None:
    more = {"connections": prod.pk} if given["role"] == "admin" else {}
    assert said in admin.post(f"/people/{vic.pk}/", given | more).content.decode()
    assert role(vic) == "viewer"
    assert audited() == []


def test_nobody_changes_or_deactivates_themselves(admin: Client, mei: User) -> None:
    person("second", "admin")
    admin.post(f"/people/{mei.pk}/", EVERYTHING)
    admin.post(f"/people/{mei.pk}/deactivate/")
    mei.refresh_from_db()
    assert (role(mei), mei.is_active) == ("admin", True)
    assert "<form" not in admin.get(f"/people/{mei.pk}/").content.decode().split("<main")[1].split("</main>")[0]


def test_the_last_admin_stays_one(admin: Client, mei: User, client_of: ClientOf) -> None:
    """Somebody without a password cannot be the one who is left."""
    single = person("second", "admin")
    single.set_unusable_password()
    single.save()
    other = client_of(single)
    for path, data in ((f"/people/{mei.pk}/", EVERYTHING), (f"/people/{mei.pk}/deactivate/", {})):
        assert "This is the last admin who can sign in." in other.post(path, data).content.decode()
    mei.refresh_from_db()
    assert (role(mei), mei.is_active) == ("admin", True)
    assert audited() == []


def test_an_admin_by_djangos_own_flag_loses_that_too(admin: Client) -> None:
    chief = User.objects.create_superuser("chief", password=PASSWORD)
    admin.post(f"/people/{chief.pk}/", EVERYTHING)
    chief.refresh_from_db()
    assert (role(chief), chief.is_superuser, chief.is_staff) == ("operator", False, False)


def test_whoever_is_deactivated_is_out_and_cannot_come_in(admin: Client, client_of: ClientOf, ana: User) -> None:
    desk = client_of(ana)
    assert desk.get("/").status_code == 200
    admin.post(f"/people/{ana.pk}/deactivate/")
    assert desk.get("/").status_code == 302
    assert Client().post("/sign-in/", {"username": "ana", "password": PASSWORD}).status_code == 200
    assert ("person.deactivate", "ana") in audited()
    admin.post(f"/people/{ana.pk}/activate/")
    assert desk.get("/").status_code == 302, "what was open before stays closed"
    ana.refresh_from_db()
    assert client_of(ana).get("/").status_code == 200


def test_sign_out_everywhere_ends_every_session(admin: Client, client_of: ClientOf, ana: User) -> None:
    desks = [client_of(ana), client_of(ana)]
    admin.post(f"/people/{ana.pk}/sign-out/")
    assert [desk.get("/").status_code for desk in desks] == [302, 302]
    ana.refresh_from_db()
    assert client_of(ana).get("/").status_code == 200
    assert audited() == [("session.end_all", "ana")]


# --- What they leave --------------------------------------------------------------------------------------------------


def test_with_links_that_work_one_must_choose(admin: Client, ana: User) -> None:
    share_of(ana)
    page = admin.post(f"/people/{ana.pk}/deactivate/").content.decode()
    assert "Choose what happens to their links." in page
    ana.refresh_from_db()
    assert ana.is_active


def test_links_are_kept_in_the_admins_name_or_revoked(admin: Client, ana: User, mei: User) -> None:
    kept = share_of(ana)
    admin.post(f"/people/{ana.pk}/deactivate/", {"links": "keep"})
    kept.refresh_from_db()
    assert (kept.made_by, kept.who, kept.revoked_at) == (mei, "mei", None)
    assert Share.objects.working().exists()
    lena = person("lena", "operator")
    gone = share_of(lena)
    admin.post(f"/people/{lena.pk}/deactivate/", {"links": "revoke"})
    gone.refresh_from_db()
    assert gone.revoked_by == "mei"
    assert {verb for verb, _target in audited()} == {"person.deactivate", "share.keep", "share.revoke"}


def test_a_link_is_not_kept_where_it_would_show_more(admin: Client, ana: User, prod: Connection) -> None:
    ana.is_limited = True
    ana.save()
    ana.connections.add(prod)
    wide, narrow = share_of(ana), share_of(ana, query=f"connection={prod.pk}")
    one = share_of(ana, kind="batch", batch=batch_made(prod))
    # Made before they were limited; dark since, and to stay so.
    other = connection_made("other")
    share_of(ana, query=f"connection={other.pk}")
    share_of(ana, kind="batch", batch=batch_made(other))
    assert "cannot be kept" in admin.get(f"/people/{ana.pk}/deactivate/").content.decode()
    admin.post(f"/people/{ana.pk}/deactivate/", {"links": "keep"})
    assert set(Share.objects.working().values_list("pk", flat=True)) == {narrow.pk, one.pk}
    assert not Share.objects.working().filter(pk=wide.pk).exists()


def test_an_admin_who_leaves_leaves_no_invitation_that_works(admin: Client) -> None:
    second = person("second", "admin")
    invitation = Invitation(role="admin", made_by=second, who="second")
    invitation.new_token()
    invitation.save()
    admin.post(f"/people/{second.pk}/", EVERYTHING)
    assert not Invitation.objects.usable().exists()
    assert ("invitation.revoke", "somebody, as admin") in audited()


def test_links_and_limits_cost_no_more_questions_with_more_people(
    admin: Client, prod: Connection, django_assert_max_num_queries: object
) -> None:
    for i in range(12):
        one = person(f"person-{i}", "viewer")
        User.objects.filter(pk=one.pk).update(is_limited=True, last_login=timezone.now())
        one.connections.add(prod)
    with django_assert_max_num_queries(15):  # type: ignore[operator]
        admin.get("/people/")
