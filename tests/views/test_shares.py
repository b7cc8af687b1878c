"""/shares/: links are made, changed, rotated, revoked and taken over; the token is in one answer and nowhere else."""

import re
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.hashers import check_password
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import set_script_prefix
from django.utils import timezone

from dashboard.models import AuditEntry, Share, User
from dashboard.sharing import opened_by
from tests.batches_made import batch_made, connection_made, everything_made
from tests.cast import ClientOf
from tests.shares_made import share_made

pytestmark = pytest.mark.django_db
FORM = {"name": "the kitchen", "kind": "list", "query": "", "lasts": "30"}


def get(client: Client, path: str = "/shares/") -> str:
    answer = client.get(path)
    assert answer.status_code == 200, answer.status_code
    return unescape(answer.content.decode())


def make(client: Client, **more: str) -> tuple[Share, str]:
    """A link by the form, and the address that the answer shows."""
    answer = client.post("/shares/add/", FORM | more)
    address = re.search(r'<code id="link"[^>]*>([^<]*)<', answer.content.decode())
    assert address, answer.content.decode()
    return Share.objects.order_by("-pk")[0], address[1]


def refused(client: Client, **more: str) -> str:
    answer = client.post("/shares/add/", FORM | more)
    assert answer.status_code == 200
    assert not Share.objects.exists()
    found = re.findall(r'<ul class="errorlist"[^>]*>(.*?)</ul>', answer.content.decode())
    assert found
    return unescape(re.sub("<[^>]*>", "", " ".join(found)))


def test_a_link_is_shown_once_and_stored_nowhere(ana: User, client_of: ClientOf) -> None:
    desk = client_of(ana)
    share, address = make(desk, query="q=failed%3A%3E0")
    token = address.removeprefix("http://testserver/s/").removesuffix("/")
    assert len(token) == 43, "256 bits"
    assert opened_by(token)
    assert (share.name, share.kind, share.query, share.made_by, share.who) == (
        "the kitchen", "list", "q=failed%3A%3E0", ana, "ana",
    )  # fmt: skip
    assert share.expires_at
    assert abs(share.expires_at - timezone.now() - timedelta(days=30)) < timedelta(minutes=1)
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.verb, entry.target, entry.address) == (
        "ana", "share.make", f"link {share.pk}: the kitchen", "127.0.0.1",
    )  # fmt: skip
    sessions = "".join(str(session.get_decoded()) for session in Session.objects.all())
    later = get(desk) + get(desk, f"/shares/{share.pk}/")
    for said in (str(list(Share.objects.values())), str(list(AuditEntry.objects.values())), sessions, later):
        assert token not in said


def test_the_address_of_a_wall_stands_under_wall_and_with_the_prefix(ana: User, client_of: ClientOf) -> None:
    share, address = make(client_of(ana), kind="wall")
    assert share.kind == "wall"
    assert address.startswith("http://testserver/wall/")
    set_script_prefix("/llm/")
    _share, address = make(client_of(ana))
    set_script_prefix("/")
    assert address.startswith("http://testserver/llm/s/")


def test_the_filter_of_the_list_is_what_the_form_offers_first(ana: User, client_of: ClientOf) -> None:
    everything_made()
    desk = client_of(ana)
    page = get(desk, "/batches/?q=failed:>0&sort=failed&before=1.1")
    link = re.findall(r'href="(/shares/add/[^"]*)"', page)[0]
    form = get(desk, link)
    assert 'value="q=failed%3A%3E0&sort=failed" selected' in form
    assert "failed:>0" in form
    share, _address = make(desk, query="q=failed%3A%3E0&sort=failed&before=1.1&seen=x")
    assert share.query == "q=failed%3A%3E0&sort=failed"
    assert "failed:>0" in get(desk)


def test_a_batch_is_shared_from_its_page(ana: User, client_of: ClientOf) -> None:
    batch, hidden = batch_made(connection_made(), name="nightly"), batch_made(connection_made("lab"))
    desk = client_of(ana)
    link = re.findall(r'href="(/shares/add/[^"]*)"', get(desk, f"/batches/{batch.pk}/"))[0]
    assert "nightly" in get(desk, link)
    share, _address = make(desk, kind="batch", batch=str(batch.pk))
    assert (share.kind, share.batch) == ("batch", batch)
    assert AuditEntry.objects.get().batch_id == batch.pk
    ana.is_limited = True
    ana.save()
    ana.connections.add(batch.connection)
    for pk in (str(hidden.pk), "99999", "x", "", "9" * 30):
        assert desk.post("/shares/add/", FORM | {"kind": "batch", "batch": pk}).status_code == 404


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": " "}, "A link needs a name"),
        ({"query": "status=strange"}, "There is no such status"),
        ({"query": "connection=77"}, "There is no such connection"),
        ({"query": "q=status%3Adone"}, "is left out"),
        ({"lasts": "date"}, "Which day is its last?"),
        ({"lasts": "date", "until": "2020-01-01"}, "That day is over."),
        ({"lasts": "date", "until": "soon"}, "Write a day as"),
        ({"lasts": "1000"}, "valid choice"),
        ({"new_password": "short"}, "At least 8 characters."),
        ({"kind": "wall", "frames": "on", "new_password": "long enough"}, "With a password it cannot"),
    ],
)
def test_what_makes_no_link(
    ana: User, client_of: ClientOf, settings: LazySettings, more: dict[str, str], words: str
) -> None:
    settings.FRAME_ANCESTORS = ["https://intranet.example.org"]
    assert words in refused(client_of(ana), **more)


def test_how_long_a_link_works(ana: User, client_of: ClientOf) -> None:
    desk = client_of(ana)
    assert make(desk, lasts="never")[0].expires_at is None
    day = timezone.localdate() + timedelta(days=3)
    ends = make(desk, lasts="date", until=str(day))[0].expires_at
    assert ends
    assert (timezone.localtime(ends).date(), timezone.localtime(ends).hour) == (day, 23)
    for days in ("1", "7", "90"):
        ends = make(desk, lasts=days)[0].expires_at
        assert ends
        assert abs(ends - timezone.now() - timedelta(days=int(days))) < timedelta(minutes=1)


def test_only_walls_may_stand_in_frames_and_only_where_there_are_any(
    ana: User, client_of: ClientOf, settings: LazySettings
) -> None:
    desk = client_of(ana)
    assert make(desk, kind="wall", frames="on")[0].frames is False
    settings.FRAME_ANCESTORS = ["https://intranet.example.org"]
    assert make(desk, kind="wall", frames="on")[0].frames is True
    assert make(desk, kind="list", frames="on")[0].frames is False


def test_name_expiry_and_password_change_and_the_scope_does_not(ana: User, client_of: ClientOf) -> None:
    share, token = share_made(ana, query="q=nightly")
    desk, path = client_of(ana), f"/shares/{share.pk}/"
    sent = {"name": "another", "lasts": "keep", "new_password": "a long one", "query": "", "kind": "wall"}
    assert desk.post(path, sent).status_code == 302
    share.refresh_from_db()
    assert (share.name, share.kind, share.query, share.expires_at) == ("another", "list", "q=nightly", None)
    assert check_password("a long one", share.password)
    assert opened_by(token), "the address stays"
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.detail) == ("share.edit", "name, password")
    assert "a long one" not in get(desk, path)
    desk.post(path, {"name": "another", "lasts": "7", "no_password": "on"})
    share.refresh_from_db()
    assert share.password == ""
    assert share.expires_at


def test_rotating_ends_the_old_address_at_once_and_revoking_all(ana: User, client_of: ClientOf) -> None:
    share, token = share_made(ana)
    desk = client_of(ana)
    assert Client().get(f"/s/{token}/").status_code == 200
    page = desk.post(f"/shares/{share.pk}/rotate/").content.decode()
    fresh = re.findall(r"http://testserver(/s/[^/]*/)<", page)[0]
    assert Client().get(f"/s/{token}/").status_code == 404
    assert Client().get(fresh).status_code == 200
    assert desk.post(f"/shares/{share.pk}/revoke/").status_code == 302
    assert Client().get(fresh).status_code == 404
    share.refresh_from_db()
    assert share.revoked_by == "ana"
    assert [entry.verb for entry in AuditEntry.objects.order_by("pk")] == ["share.rotate", "share.revoke"]
    for act in ("rotate/", "revoke/", ""):
        assert desk.post(f"/shares/{share.pk}/{act}", {"name": "x", "lasts": "never"}).status_code == 302
    assert desk.get(f"/shares/{share.pk}/").status_code == 302
    assert AuditEntry.objects.count() == 2, "what is revoked stays so"
    assert Client().get(fresh).status_code == 404


def test_operators_see_and_manage_their_own_and_admins_everybodys(
    vic: User, ana: User, mei: User, client_of: ClientOf
) -> None:
    own, _token = share_made(ana, name="of ana")
    other, _token = share_made(mei, name="of mei")
    assert client_of(vic).get("/shares/").status_code == 403
    assert "/shares/" not in get(client_of(vic), "/batches/")
    desk = client_of(ana)
    page = get(desk)
    assert "of ana" in page
    assert "of mei" not in page
    for path in ("", "rotate/", "revoke/"):
        assert desk.post(f"/shares/{other.pk}/{path}").status_code == 404
    page = get(client_of(mei))
    assert "of ana" in page
    assert "by ana" in page
    assert client_of(mei).post(f"/shares/{own.pk}/revoke/").status_code == 302
    own.refresh_from_db()
    assert own.revoked_by == "mei"


def test_the_link_of_who_is_gone_is_dark_until_an_admin_takes_it_over(
    vic: User, mei: User, client_of: ClientOf
) -> None:
    share, token = share_made(vic, name="left behind")
    vic.is_active = False
    vic.save()
    assert Client().get(f"/s/{token}/").status_code == 404
    desk = client_of(mei)
    assert "Shows nothing" in get(desk)
    assert "Taken over, it shows what you may see." in get(desk, f"/shares/{share.pk}/")
    desk.post(f"/shares/{share.pk}/take-over/")
    share.refresh_from_db()
    assert (share.made_by, share.who) == (mei, "mei")
    assert Client().get(f"/s/{token}/").status_code == 200
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.detail) == ("share.keep", "from vic")


def test_the_list_says_of_each_whether_it_works_and_when_it_was_used(ana: User, client_of: ClientOf) -> None:
    now = timezone.now()
    used: dict[str, Any] = {"last_seen_at": now - timedelta(minutes=3), "last_address": "192.0.2.7", "views": 1204}
    share_made(ana, "wall", name="used", **used)
    share_made(ana, name="ended", expires_at=now)
    share_made(ana, name="taken back", revoked_at=now, revoked_by="mei")
    page = get(client_of(ana))
    for words in (
        "seen ",
        "3 min ago",
        "from 192.0.2.7",
        "1,204 views",
        "Expired",
        "Revoked",
        "by mei",
        "never opened",
    ):
        assert words in page, words
    assert page.index("used") < page.index("2 links that have expired or were revoked") < page.index("taken back")


def test_where_only_looking_is_allowed_links_are_seen_and_left_as_they_are(
    mei: User, client_of: ClientOf, settings: LazySettings
) -> None:
    share, token = share_made(mei)
    settings.READ_ONLY = True
    desk = client_of(mei)
    assert "Make a link" not in get(desk)
    assert "Revoke link" not in get(desk, f"/shares/{share.pk}/")
    assert "/shares/add/" not in get(desk, "/batches/")
    for path in ("add/", f"{share.pk}/", f"{share.pk}/rotate/", f"{share.pk}/revoke/", f"{share.pk}/take-over/"):
        assert desk.post(f"/shares/{path}", FORM).status_code == 405
    assert Client().get(f"/s/{token}/").status_code == 200


def test_many_links_are_listed_with_few_questions(
    mei: User, ana: User, client_of: ClientOf, django_assert_max_num_queries: Any
) -> None:
    for i in range(40):
        share_made((mei, ana)[i % 2], name=f"link {i}")
    desk = client_of(mei)
    with django_assert_max_num_queries(14):
        desk.get("/shares/")
