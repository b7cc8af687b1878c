"""/s/<token>/: what whoever has a link sees, and all that they do not."""

import logging
import re
from collections.abc import Iterator
from datetime import timedelta
from html import unescape
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.hashers import make_password
from django.test import Client
from django.urls import URLPattern, reverse
from django.utils import timezone

from dashboard.dialects.scrub import MASK
from dashboard.models import Act, AuditEntry, Batch, BatchError, Connection, ErrorGroup, Share, User
from dashboard.sharing import guessing, seen
from dashboard.urls import urlpatterns
from tests.batches_made import batch_made, connection_made, counts, crowd_made, everything_made, judged
from tests.cast import ClientOf
from tests.errors_made import everything_read
from tests.shares_made import share_made

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}
# Of an answer what differs from one to the next whatever it says.
OF_THE_MOMENT = ("X-Now",)


def get(token: str, path: str = "", **more: Any) -> str:
    answer = Client().get(f"/s/{token}/{path}", **more)
    assert answer.status_code == 200, answer.status_code
    return unescape(answer.content.decode())


def names_in(page: str) -> list[str]:
    return re.findall(r'<b class="mid[^"]*" title="([^"]*)"', page)


def answer_to(path: str, method: str = "get", **more: Any) -> tuple[int, bytes, dict[str, str]]:
    """All that an outsider can compare."""
    answer = getattr(Client(), method)(path, **more)
    return answer.status_code, answer.content, {k: v for k, v in answer.items() if k not in OF_THE_MOMENT}


# --- A list -----------------------------------------------------------------------------------------------------------


def test_a_list_shows_its_filter_and_no_address_widens_it(ana: User) -> None:
    everything_made()
    _share, token = share_made(ana, query="q=failed%3A%3E0&status=running")
    own = names_in(get(token))
    assert set(own) == {"weekly-classify-2026-w47", "synthetic-qa-legal-v3", "eval-judge-pairwise-ablation-7"}
    for wider in ("?q=", "?status=", "?q=catalog&status=failed", "?connection=1", "?q=*&status=&connection="):
        assert names_in(get(token, wider)) == own, wider
    assert sorted(names_in(get(token, "?sort=failed"))) == sorted(own)
    assert names_in(get(token, "?sort=failed"))[0] == "weekly-classify-2026-w47"


def test_a_list_is_paged_by_key_within_its_filter(ana: User) -> None:
    crowd_made(connection_made(), 120)
    _share, token = share_made(ana, query="q=nightly")
    seen_names, path = [], ""
    for _ in range(10):
        page = get(token, path)
        seen_names += names_in(page)
        older = re.search(r'rel="next" href="([^"]*)"', page)
        if older is None:
            break
        path = older[1]
        assert "nightly" not in path
    wanted = Batch.objects.filter(name__contains="nightly").order_by("-place").values_list("name", flat=True)
    assert seen_names == list(wanted)
    crowd_made(connection_made("lab"), 60)
    _share, token = share_made(ana)
    second = get(token, re.findall(r'rel="next" href="([^"]*)"', get(token))[0])
    first = get(token, re.findall(r'rel="prev" href="([^"]*)"', second)[0])
    assert names_in(first) == names_in(get(token))


@pytest.mark.parametrize("query", ["q=connection%3Agone", "connection=77", "status=strange", "q=failed%3A%3Enine"])
def test_a_filter_that_is_not_understood_any_more_shows_nothing_rather_than_all(ana: User, query: str) -> None:
    everything_made()
    # Of a connection that is gone nothing is left to be seen at all, which looks as every dead link does.
    answer = Client().get(f"/s/{share_made(ana, query=query)[1]}/")
    page = answer.content.decode()
    assert answer.status_code == 200
    assert "not understood any more" in page
    assert names_in(page) == []
    assert "eval-judge" not in page


def test_an_empty_list_says_that_what_comes_appears(ana: User) -> None:
    connection_made()
    assert "No batch matches now" in get(share_made(ana, query="q=nothing-here")[1])
    page = get(share_made(ana)[1], "?before=1.1")
    assert "Nothing further" in page


def test_a_poll_that_brings_nothing_is_a_204_and_one_that_does_the_rows(ana: User) -> None:
    batch = everything_made()["running"]
    share, token = share_made(ana, query="status=running&sort=oldest")
    page = get(token)
    poll = re.findall(r'hx-get="([^"]*)"', page)[0]
    answer = Client().get(f"/s/{token}/{poll}", headers=HTMX)
    assert answer.status_code == 204
    assert answer["Cache-Control"] == "private, no-store"
    assert answer["X-Synced"]
    assert answer["X-Robots-Tag"] == "noindex"
    Connection.objects.update(revision=99)
    Batch.objects.filter(pk=batch.pk).update(requests_completed=1300, revision=99)
    answer = Client().get(f"/s/{token}/{poll}", headers=HTMX)
    assert answer.status_code == 200
    assert "1,300" in answer.content.decode()
    assert "<html" not in answer.content.decode()
    seen.flush()
    share.refresh_from_db()
    assert share.views == 1, "polls are no views"
    assert share.last_address == "127.0.0.1"


# --- A batch ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("running", ["1,192 of 1,500 requests processed.", "12 failed.", "308", "In progress"]),
        ("partial", ["97 of 100 requests completed.", "rate_limit_exceeded", "context_length_exceeded", "67 %"]),
        ("invalid", ["did not pass validation", "invalid_json_line", "input line 212"]),
        ("stale", ["as of ", "not answering since"]),
        ("gone", ["No longer visible"]),
        ("reading", ["Being read"]),
    ],
)
def test_a_batch_says_what_came_of_it_and_why(ana: User, key: str, words: list[str]) -> None:
    made = everything_read()
    page = get(share_made(ana, batch=made[key])[1])
    assert made[key].name in page
    for word in words:
        assert word in page, word


def test_a_batch_that_is_deleted_or_that_its_maker_may_not_see_is_dark(ana: User) -> None:
    batch = batch_made(connection_made())
    _share, token = share_made(ana, batch=batch)
    assert Client().get(f"/s/{token}/").status_code == 200
    Connection.objects.update(dropped_at=timezone.now())
    assert Client().get(f"/s/{token}/").status_code == 404
    batch.delete()
    assert not Share.objects.exists()
    assert Client().get(f"/s/{token}/").status_code == 404


# --- What nobody sees -------------------------------------------------------------------------------------------------

MAIL, ORG, KEY = "jonas.weber@example.com", "org-Ab12Cd34Ef56Gh78", "sk-proj-abcdefgh12345678"
PRIVATE = f"{MAIL} of {ORG} with {KEY}"


@pytest.fixture
def private(ana: User, mei: User) -> dict[str, str]:
    """A link of each kind, to batches in which everything private stands wherever a vendor or a customer may write."""
    prod = connection_made("OpenAI / prod")
    texts = {"name": f"eval {PRIVATE}", "owner": MAIL, "model": f"ft:gpt-5:{ORG}:x", "endpoint": f"/v1/{MAIL}"}
    error = [{"code": ORG, "message": f"Rate limit for {PRIVATE}", "param": KEY, "line": 3}]
    metadata = {"mail": MAIL, "org": ORG, "key": KEY, "prompt": "the secret prompt"}
    private = batch_made(
        prod, "failed", errors=error, metadata=metadata, in_progress_at=None, **texts, **counts(3, 0, 3)
    )
    running = batch_made(prod, "in_progress", remote_id=MAIL, metadata=metadata, **texts, **counts(9, 4, 1))
    strange = batch_made(prod, f"queued for {MAIL}", metadata=metadata, **texts)
    partial = batch_made(prod, "completed", error_file_id="file-x", metadata=metadata, **texts, **counts(9, 4, 5))
    group = ErrorGroup.objects.create(
        signature="s", http_status=429, code=ORG, message=f"Limit of {PRIVATE}", retry="yes",
        first_seen_at=timezone.now(), last_seen_at=timezone.now(),
    )  # fmt: skip
    samples = [{"custom_id": MAIL, "words": PRIVATE, "line": 1}]
    found = {"requests": 5, "source": "error", "samples": samples, "at": timezone.now(), "connection": prod}
    BatchError.objects.create(batch=partial, group=group, **found)
    Batch.objects.filter(pk=partial.pk).update(worst_error=group, worst_requests=5)
    batch_made(prod, "completed", name="somebody-elses-batch", **counts(1, 1))
    Act.objects.create(batch=running, kind="cancel", state="accepted", who="Mei Lin", began_at=timezone.now())
    judged()
    User.objects.filter(pk=ana.pk).update(first_name="Ana", last_name="Ferreira", email="ana@example.org")
    batches = {"failed": private, "running": running, "strange": strange, "partial": partial}
    links = {key: share_made(ana, batch=batch, name=f"for {MAIL}")[1] for key, batch in batches.items()}
    return links | {"list": share_made(ana, query="q=eval", name=f"for {MAIL}")[1]}


SECRETS = [MAIL, "jonas.weber", ORG, KEY, "secret prompt", "somebody-elses-batch", "Mei Lin", "Ferreira", "example.org"]


@pytest.mark.parametrize("kind", ["failed", "running", "strange", "partial", "list"])
@pytest.mark.parametrize("how", ["page", "poll", "signed in"])
def test_no_page_by_link_shows_anything_private(
    private: dict[str, str], kind: str, how: str, mei: User, client_of: ClientOf
) -> None:
    client = client_of(mei) if how == "signed in" else Client()
    headers = HTMX if how == "poll" else {}
    answer = client.get(f"/s/{private[kind]}/", {"seen": "0"} if headers else {}, headers=headers)
    assert answer.status_code == 200
    said = unescape(answer.content.decode()) + str(answer.headers)
    assert "eval" in said
    assert MASK in said, "something was there to be hidden"
    for secret in [*SECRETS, "ana", "mei"]:
        assert not re.search(rf"\b{re.escape(secret)}\b", said), secret
    assert private[kind] not in said, "the token is in the address alone"
    others = set(re.findall(r'(?:href|action|hx-get|hx-post|src)="([^"#]*)', said))
    assert all(link.startswith(("/static/", "?")) or not link for link in others), others
    assert "<form" not in said


def test_the_table_of_what_is_private_is_not_empty_talk(
    private: dict[str, str], ana: User, client_of: ClientOf
) -> None:
    """Who is signed in does see most of it, so the pages by link would as well if nothing masked them."""
    page = client_of(ana).get("/batches/").content.decode()
    assert MAIL in page
    assert ORG in page
    assert "somebody-elses-batch" in page


# --- From outside -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", ["", "password/"])
@pytest.mark.parametrize("kind", ["list", "batch"])
def test_wrong_expired_revoked_and_dark_are_the_same_from_outside(ana: User, vic: User, page: str, kind: str) -> None:
    batch = batch_made(connection_made()) if kind == "batch" else None
    ended = timezone.now() - timedelta(days=1)
    other, before = share_made(ana, kind, batch)
    other.new_token()
    other.save()
    vic.is_active = False
    vic.save()
    tokens = {
        "wrong": "nobody-made-this",
        "wrong and long": "x" * 300,
        "expired": share_made(ana, kind, batch, expires_at=ended)[1],
        "expired with a password": share_made(ana, kind, batch, expires_at=ended, password=make_password("x"))[1],
        "revoked": share_made(ana, kind, batch, revoked_at=ended)[1],
        "replaced": before,
        "of who is gone": share_made(vic, kind, batch)[1],
        "of another kind": share_made(ana, "wall")[1],
    }
    answers = {why: answer_to(f"/s/{token}/{page}") for why, token in tokens.items()}
    assert answers["wrong"][0] == 404
    for why, answer in answers.items():
        assert answer == answers["wrong"], why
    polls = {why: answer_to(f"/s/{token}/?seen=x", headers=HTMX) for why, token in tokens.items()}
    for why, answer in polls.items():
        assert answer == polls["wrong"], why
    said = answers["wrong"][1].decode()
    assert "This link shows nothing" in said
    assert "<form" not in said
    assert "sign" not in said.lower()


def test_every_answer_by_token_says_that_nobody_else_is_to_learn_of_it(ana: User, settings: LazySettings) -> None:
    settings.SECURE_REFERRER_POLICY = "same-origin"
    _share, token = share_made(ana)
    _share, locked = share_made(ana, password=make_password("a long one"))
    client = Client()
    answers = [
        client.get(f"/s/{token}/"),
        client.get(f"/s/{token}/", {"seen": "0"}, headers=HTMX),
        client.head(f"/s/{token}/"),
        client.post(f"/s/{token}/"),
        client.get("/s/wrong/"),
        client.get(f"/s/{locked}/"),
        client.get(f"/s/{locked}/password/"),
        client.post(f"/s/{locked}/password/", {"password": "wrong"}),
        client.post(f"/s/{locked}/password/", {"password": "a long one"}),
        client.get("/wall/wrong/password/"),
    ]
    assert [answer.status_code for answer in answers] == [200, 200, 200, 405, 404, 302, 200, 200, 302, 404]
    for answer in answers:
        assert answer["X-Robots-Tag"] == "noindex"
        assert answer["Referrer-Policy"] == "no-referrer"
        assert answer["Cache-Control"] == "private, no-store"
        assert answer["X-Frame-Options"] == "DENY"
        assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]


@pytest.mark.parametrize(
    ("kind", "frames", "origins", "is_framed"),
    [
        ("wall", True, ["https://intranet.example.org"], True),
        ("wall", False, ["https://intranet.example.org"], False),
        ("wall", True, [], False),
        ("list", True, ["https://intranet.example.org"], False),
    ],
)
def test_only_a_wall_is_framed_and_only_where_both_settings_say_so(
    ana: User, settings: LazySettings, kind: str, frames: object, origins: list[str], is_framed: object
) -> None:
    settings.FRAME_ANCESTORS = origins
    _share, token = share_made(ana, kind, frames=frames)
    answer = Client().get(f"/wall/{token}/password/" if kind == "wall" else f"/s/{token}/")
    if is_framed:
        assert "frame-ancestors https://intranet.example.org" in answer["Content-Security-Policy"]
        assert "X-Frame-Options" not in answer
    else:
        assert "frame-ancestors 'none'" in answer["Content-Security-Policy"]
        assert answer["X-Frame-Options"] == "DENY"


def by_token_pages() -> Iterator[str]:
    for pattern in urlpatterns:
        if isinstance(pattern, URLPattern) and hasattr(pattern.callback, "by_token"):
            yield str(pattern.name)


def test_no_page_by_token_takes_anything_but_a_password_and_no_act_takes_a_token(ana: User) -> None:
    made = everything_made()
    tokens = [share_made(ana)[1], share_made(ana, "wall")[1], share_made(ana, batch=made["running"])[1]]
    names = set(by_token_pages())
    assert {"shared", "shared-password", "wall-password"} <= names
    for name in names - {"shared-password", "wall-password"}:
        for token in tokens:
            for method in ("post", "put", "patch", "delete", "options"):
                assert getattr(Client(), method)(reverse(name, args=[token])).status_code == 405, name
    # A token in the place of a session is nothing.
    for token in tokens:
        answer = Client().post(
            f"/batches/{made['running'].pk}/cancel/", {"token": token}, headers={"Authorization": f"Bearer {token}"}
        )
        assert answer.status_code == 302
        assert answer["Location"].startswith("/sign-in/")
    assert not Act.objects.exclude(who="Ana").exists()


def test_no_token_is_in_a_log_an_audit_or_an_error_page(ana: User, caplog: pytest.LogCaptureFixture) -> None:
    _share, token = share_made(ana, password=make_password("a long one"))
    caplog.set_level(logging.DEBUG)
    client = Client(raise_request_exception=False)
    for path in ("", "password/", "nothing/"):
        client.get(f"/s/{token}/{path}")
    client.post(f"/s/{token}/password/", {"password": "wrong"})
    client.get("/s/wrong-but-telling/")
    pages = client.get("/s/wrong-but-telling/").content.decode()
    assert caplog.records
    for said in (caplog.text, str(list(AuditEntry.objects.values())), pages):
        assert token not in said
        assert "wrong-but-telling" not in said


# --- The password -----------------------------------------------------------------------------------------------------


def test_a_password_is_asked_for_once_and_another_one_ends_that(ana: User) -> None:
    share, token = share_made(ana, password=make_password("the right one"), name="private name")
    client = Client()
    answer = client.get(f"/s/{token}/?sort=failed")
    assert (answer.status_code, answer["Location"]) == (302, f"/s/{token}/password/?sort=failed")
    assert "X-Synced" not in answer
    page = client.get(answer["Location"])
    assert "private name" not in page.content.decode()
    assert client.get(f"/s/{token}/?seen=x", headers=HTMX).status_code == 404, "a poll cannot answer a question"
    wrong = client.post(answer["Location"], {"password": "the wrong one"})
    assert "That is not the password." in wrong.content.decode()
    entry = AuditEntry.objects.get()
    assert (entry.verb, entry.address) == (guessing.WRONG_PASSWORD, "127.0.0.1")
    right = client.post(answer["Location"], {"password": "the right one"})
    assert (right.status_code, right["Location"]) == (302, f"/s/{token}/?sort=failed")
    cookie = right.cookies["batches_link"]
    assert (cookie["path"], cookie["httponly"], cookie["samesite"]) == (f"/s/{token}/", True, "Lax")
    assert cookie["max-age"] == 365 * 24 * 3600
    page = client.get(f"/s/{token}/")
    assert page.status_code == 200
    poll = re.findall(r'hx-get="([^"]*)"', page.content.decode())[0]
    assert client.get(f"/s/{token}/{unescape(poll)}", headers=HTMX).status_code == 204, "in the fast path as well"
    share.password = make_password("another one")
    share.save()
    assert client.get(f"/s/{token}/").status_code == 302
    assert client.get(f"/s/{token}/{unescape(poll)}", headers=HTMX).status_code == 404


def test_a_browser_that_sends_no_referer_can_still_send_the_password(ana: User) -> None:
    _share, token = share_made(ana, password=make_password("the right one"))
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post(f"/s/{token}/password/", {"password": "the right one"}, headers={"Origin": "null"})
    assert answer.status_code == 302


def test_too_many_wrong_passwords_are_told_to_wait(ana: User) -> None:
    _share, token = share_made(ana, password=make_password("the right one"))
    client = Client()
    for _ in range(guessing.WRONG_PASSWORDS):
        client.post(f"/s/{token}/password/", {"password": "wrong"})
    answer = client.post(f"/s/{token}/password/", {"password": "the right one"})
    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 900
    assert "Try again in 15 minutes." in answer.content.decode()
    assert "batches_link" not in answer.cookies


# --- Guessing ---------------------------------------------------------------------------------------------------------


def test_who_guesses_has_to_wait_and_a_wall_behind_the_same_address_goes_on(ana: User) -> None:
    _share, token = share_made(ana)
    _share, fresh = share_made(ana)
    poll = unescape(re.findall(r'hx-get="([^"]*)"', get(token))[0])
    dark = answer_to("/s/wrong/")
    for i in range(guessing.WRONG_TOKENS):
        Client().get(f"/s/guess-{i}/")
    status, page, headers = answer_to("/s/wrong/")
    assert status == 429
    assert 0 < int(headers.pop("Retry-After")) <= 60
    assert (page, headers) == dark[1:], "it looks the same"
    assert answer_to(f"/s/{fresh}/")[:2] == (429, page), "a guess that is right is none either"
    assert get(token)
    assert Client().get(f"/s/{token}/{poll}", headers=HTMX).status_code == 204
    assert Client().get(f"/s/{fresh}/", REMOTE_ADDR="192.0.2.9").status_code == 200
