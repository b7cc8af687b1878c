"""/audit/: who did what, for admins; filtered by its address, page by page, as a file."""

import csv
import io
from datetime import UTC, datetime

import pytest
from django.test import Client

from dashboard.audit import record
from dashboard.models import AuditEntry, Connection, User
from tests.batches_made import batch_made
from tests.cast import ClientOf

pytestmark = pytest.mark.django_db


def page(client: Client, query: str = "") -> str:
    response = client.get(f"/audit/{query}")
    assert response.status_code == 200
    return response.content.decode().split("<main")[1].split("</main>")[0]


def at(day: int, hour: int, target: str) -> None:
    when = datetime(2026, 3, day, hour, tzinfo=UTC)
    AuditEntry.objects.create(actor="mei", verb="view.share", target=target, at=when)


def test_it_says_who_when_from_where_on_what_and_what_was_answered(admin: Client, ana: User, prod: Connection) -> None:
    batch = batch_made(prod)
    record(ana, "batch.cancel", f"{prod}: {batch.remote_id}", batch=batch, address="203.0.113.7")
    record(ana, "batch.cancel_answer", f"{prod}: {batch.remote_id}", batch=batch, detail="refused", http_status=409,
           words="Cannot <cancel> it")  # fmt: skip
    shown = page(admin)
    assert "asked to cancel" in shown
    assert f'href="/batches/{batch.pk}/"' in shown
    assert f'href="/people/{ana.pk}/"' in shown
    assert "203.0.113.7" in shown
    assert "refused · HTTP 409 · Cannot &lt;cancel&gt; it" in shown


def test_what_is_gone_is_named_and_leads_nowhere(admin: Client, ana: User, prod: Connection) -> None:
    batch = batch_made(prod)
    record(ana, "read.body", f"{prod}: {batch.remote_id}", batch=batch)
    record("up", "person.edit", "ana", person=ana)
    pk = batch.pk
    batch.delete()
    ana.delete()
    shown = page(admin)
    assert "ana" in shown
    assert f"/batches/{pk}/" not in shown
    assert "/people/" not in shown


def test_a_change_shows_before_and_after_and_no_key(admin: Client, prod: Connection) -> None:
    form = {"name": prod.name, "dialect": "openai", "base_url": prod.base_url, "batches_path": "batches"}
    form |= {"auth_style": "bearer", "interval": "120", "key": "sk-MARKER-second-key-9876", "name_key": "name"}
    assert admin.post(f"/connections/{prod.pk}/", form).status_code == 302
    shown = page(admin, "?what=connection")
    assert "…abcd" in shown
    assert "…9876" in shown
    assert "120" in shown
    assert "MARKER" not in shown


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("?who=ME", {"first", "second", "third"}),
        ("?who=ana", set()),
        ("?what=view", {"first", "second", "third"}),
        ("?what=batch", set()),
        ("?what=nonsense", {"first", "second", "third"}),
        ("?target=SEC", {"second"}),
        ("?from=2026-03-02", {"second", "third"}),
        ("?to=2026-03-02", {"first", "second"}),
        ("?from=2026-03-02&to=2026-03-02", {"second"}),
        ("?from=tomorrow", {"first", "second", "third"}),
    ],
)
def test_a_filter_stands_in_the_address(admin: Client, query: str, found: set[str]) -> None:
    for day, target in enumerate(("first", "second", "third"), 1):
        at(day, 12, target)
    shown = page(admin, query)
    assert {target for target in ("first", "second", "third") if f"<b>{target}</b>" in shown} == found
    assert ("is no day" in shown) is ("tomorrow" in query)


def test_days_are_of_the_persons_zone(admin: Client, mei: User) -> None:
    at(1, 23, "late")
    User.objects.filter(pk=mei.pk).update(time_zone="Asia/Tokyo")
    assert "<b>late</b>" in page(admin, "?from=2026-03-02")
    User.objects.filter(pk=mei.pk).update(time_zone="UTC")
    assert "<b>late</b>" not in page(admin, "?from=2026-03-02")


def test_it_is_read_page_by_page_and_keeps_its_filter(admin: Client, mei: User) -> None:
    for i in range(120):
        record(mei, "view.share", f"view-{i:03d}")
    first = page(admin, "?who=mei")
    assert first.count("shared the view") == 50
    record(mei, "view.share", "meanwhile")
    older = first.split('href="/audit/?who=mei&amp;before=')[1].split('"')[0]
    second = page(admin, f"?who=mei&before={older}")
    assert second.count("shared the view") == 50
    assert "view-069" in second
    assert "view-070" not in second


def test_the_file_has_all_of_it_and_runs_no_formula(admin: Client, mei: User, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dashboard.views.audit.BLOCK", 7)
    for i in range(20):
        record(mei, "view.share", f"=cmd{i}", changes={"name": ("a", "b")})
    record(mei, "person.edit", "vic")
    response = admin.get("/audit.csv?what=view&before=3")
    body = b"".join(response).decode("utf-8-sig")
    rows = list(csv.DictReader(io.StringIO(body)))
    assert [row["target"] for row in rows] == [f"'=cmd{i}" for i in reversed(range(20))]
    assert rows[0]["changes"] == '{"name": ["a", "b"]}'
    assert AuditEntry.objects.latest("pk").verb == "export.audit"


def test_it_says_when_it_was_read(admin: Client) -> None:
    assert "it does not refresh itself" in page(admin)


def test_signing_in_and_out_is_noted_and_being_locked_out_once(vic: User, client_of: ClientOf) -> None:
    browser = Client(REMOTE_ADDR="192.0.2.1")
    browser.post("/sign-in/", {"username": "vic", "password": "correct horse battery"})
    browser.post("/sign-out/")
    for _attempt in range(12):
        browser.post("/sign-in/", {"username": "vic", "password": "wrong"})
    noted = list(AuditEntry.objects.order_by("pk").values_list("actor", "verb", "target", "address"))
    assert noted == [
        ("vic", "session.sign_in", "vic", "192.0.2.1"),
        ("vic", "session.sign_out", "vic", "192.0.2.1"),
        ("somebody", "session.lock", "vic", "192.0.2.1"),
    ]
