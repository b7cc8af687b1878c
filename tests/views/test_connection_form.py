"""Adding, editing and testing a connection: what is refused, and where its keys never go."""

import pytest
from django.test import Client

from dashboard.models import AuditEntry, Batch, Connection, User
from tests.batches_made import batch_made
from tests.views.conftest import KEY

OTHER = "sk-MARKER-other-key-wxyz"
FORM = {
    "name": "OpenAI / prod",
    "dialect": "openai",
    "base_url": "https://api.openai.com/v1",
    "batches_path": "batches",
    "auth_style": "bearer",
    "key": KEY,
    "act_key": "",
    "organization": "",
    "project": "",
    "extra_headers": "{}",
    "interval": "",
    "name_key": "name",
    "owner_key": "owner",
}
HTMX = {"HX-Request": "true"}


def edited(connection: Connection, **changes: str) -> dict[str, str]:
    return {**FORM, "key": "", "name": connection.name, "base_url": connection.base_url, **changes}


def test_adding_stores_the_key_sealed(admin: Client, mei: User) -> None:
    assert admin.post("/connections/add/", FORM)["Location"] == "/connections/"
    connection = Connection.objects.get()
    assert connection.key == KEY
    assert connection.key_last4 == "abcd"
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.verb, entry.target) == ("mei", "connection.add", "OpenAI / prod")


def test_no_key_is_ever_sent_back_logged_or_audited(
    admin: Client, viewer: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """Typed rightly, typed with mistakes elsewhere, typed where it does not belong."""
    answers = [
        admin.post("/connections/add/", {**FORM, "name": "", "act_key": OTHER}),
        admin.post("/connections/add/", {**FORM, "key": f"{KEY} with a space"}),
        admin.post("/connections/add/", {**FORM, "base_url": f"https://user:{KEY}@api.example/v1"}),
        admin.post("/connections/add/", {**FORM, "base_url": f"https://api.example/v1?api_key={KEY}"}),
        admin.post("/connections/add/", {**FORM, "extra_headers": f'{{"Authorization": "Bearer {KEY}"}}'}),
        admin.post("/connections/add/", {**FORM, "extra_headers": f'{{"X-Team": "{KEY}"}}'}),
        admin.post("/connections/add/", {**FORM, "extra_headers": f'{{"broken": "{KEY}"'}),
        admin.post("/connections/add/", {**FORM, "organization": KEY}),
        admin.post("/connections/add/", {**FORM, "test": "1", "base_url": "http://127.0.0.1:9/v1"}),
        admin.post("/connections/add/", {**FORM, "test": "1", "base_url": "http://127.0.0.1:9/v1"}, headers=HTMX),
        admin.post("/connections/add/", {**FORM, "act_key": OTHER, "base_url": "http://127.0.0.1:9/v1"}),
    ]
    assert [answer.status_code for answer in answers] == [200] * 10 + [302]
    pk = Connection.objects.get().pk
    answers += [
        admin.get("/connections/"),
        viewer.get("/connections/"),
        admin.get(f"/connections/{pk}/"),
        admin.post(f"/connections/{pk}/", {**FORM, "name": ""}),
        admin.post(f"/connections/{pk}/test/", headers=HTMX),
        admin.get(f"/connections/{pk}/delete/"),
        admin.get("/connections/?seen=x", headers=HTMX),
    ]
    for answer in answers:
        assert b"MARKER" not in answer.content
        assert "MARKER" not in str(answer.headers)
    assert "MARKER" not in caplog.text
    assert "MARKER" not in str(list(AuditEntry.objects.values()))
    assert "MARKER" not in str(list(Connection.objects.values()))


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("base_url", "ftp://api.openai.com/v1", "http"),
        ("base_url", "http://169.254.169.254/v1", "Base URL"),
        ("batches_path", "//evil.example/batches", "Only the path"),
        ("batches_path", "../admin", "Only the path"),
        ("key", "", "Enter the key"),
        ("key", "line\nbreak", "no spaces"),
        ("interval", "4", "5"),
        ("interval", "3601", "3600"),
        ("extra_headers", '["x"]', "JSON object"),
        ("extra_headers", '{"X": 1}', "JSON object"),
        ("extra_headers", '{"Host": "evil"}', "set by the connection itself"),
        ("extra_headers", '{"content-length": "0"}', "set by the connection itself"),
        ("extra_headers", '{"Cookie": "a=b"}', "looks like a key"),
        ("extra_headers", '{"api-key": "x"}', "looks like a key"),
        ("extra_headers", '{"X-Line": "a\\r\\nHost: evil"}', "no header can hold"),
        ("auth_style", "none", "Choose how it is sent"),
        ("dialect", "telepathy", "telepathy"),
    ],
)
def test_a_mistake_is_said_beside_its_field_and_nothing_is_saved(
    admin: Client, field: str, value: str, says: str
) -> None:
    answer = admin.post("/connections/add/", {**FORM, field: value})
    assert answer.status_code == 200
    assert answer.context["form"].has_error(field)
    assert says in answer.content.decode()
    assert not Connection.objects.exists()


def test_an_empty_key_keeps_the_stored_one(admin: Client, prod: Connection) -> None:
    assert admin.post(f"/connections/{prod.pk}/", edited(prod, name="OpenAI / main")).status_code == 302
    after = Connection.objects.get()
    assert (after.name, after.key, after.revision) == ("OpenAI / main", KEY, prod.revision + 1)
    assert after.next_sync_at is None


def test_editing_does_not_overwrite_what_a_sync_writes_meanwhile(admin: Client, prod: Connection) -> None:
    Connection.objects.update(claim_token="held", import_count=77)
    admin.post(f"/connections/{prod.pk}/", edited(prod, interval="60"))
    after = Connection.objects.get()
    assert (after.claim_token, after.import_count, after.interval) == ("held", 77, 60)


@pytest.mark.parametrize(
    "url", ["https://api.example.org/v1", "http://api.openai.com/v1", "https://api.openai.com:8443/v1"]
)
def test_another_origin_needs_the_key_again(admin: Client, prod: Connection, url: str) -> None:
    prod.set_act_key(OTHER)
    prod.save()
    refused = admin.post(f"/connections/{prod.pk}/", edited(prod, base_url=url))
    assert "Enter the key again" in refused.content.decode()
    assert Connection.objects.get().base_url == prod.base_url
    admin.post(f"/connections/{prod.pk}/", edited(prod, base_url=url, key="another-long-key"))
    after = Connection.objects.get()
    assert (after.base_url, after.key, after.sealed_act_key) == (url, "another-long-key", "")
    assert after.imported_at is None


def test_another_path_at_the_same_origin_keeps_the_key(admin: Client, prod: Connection) -> None:
    admin.post(f"/connections/{prod.pk}/", edited(prod, base_url="https://api.openai.com/v2"))
    after = Connection.objects.get()
    assert (after.base_url, after.key) == ("https://api.openai.com/v2", KEY)


def test_testing_a_new_origin_never_sends_the_stored_key_there(admin: Client, prod: Connection) -> None:
    answer = admin.post(
        f"/connections/{prod.pk}/", edited(prod, base_url="http://127.0.0.1:9/v1", test="1"), headers=HTMX
    )
    assert "Not tested yet" in answer.content.decode()


def test_a_base_url_from_the_environment_is_not_changed_here(admin: Client, prod: Connection) -> None:
    Connection.objects.update(key_env="OPENAI_API_KEY", sealed_key="", key_last4="")
    admin.post(f"/connections/{prod.pk}/", edited(prod, base_url="https://evil.example/v1", key=KEY, interval="60"))
    after = Connection.objects.get()
    assert (after.base_url, after.sealed_key, after.interval) == ("https://api.openai.com/v1", "", 60)


def test_the_audit_names_only_what_was_touched(admin: Client, prod: Connection) -> None:
    admin.post(f"/connections/{prod.pk}/", edited(prod, interval="60", extra_headers=""))
    assert AuditEntry.objects.get().detail == "interval"


def test_the_second_key_can_be_forgotten(admin: Client, prod: Connection) -> None:
    prod.set_act_key(OTHER)
    prod.save()
    admin.post(f"/connections/{prod.pk}/", edited(prod, forget_act_key="on"))
    assert Connection.objects.get().act_key == KEY


def test_batches_are_named_anew_when_the_name_key_changes(admin: Client, prod: Connection) -> None:
    batch_made(prod, "completed")
    Batch.objects.update(metadata={"job": "nightly-eval"})
    admin.post(f"/connections/{prod.pk}/", edited(prod, name_key="job"))
    assert Batch.objects.get().name == "nightly-eval"


def test_testing_before_saving_saves_nothing(admin: Client) -> None:
    answer = admin.post("/connections/add/", {**FORM, "base_url": "http://127.0.0.1:9/v1", "test": "1"})
    assert "cannot be reached" in answer.content.decode()
    assert not Connection.objects.exists()
    assert not AuditEntry.objects.exists()
