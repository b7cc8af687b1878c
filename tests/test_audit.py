"""The log of who did what: written in one place, changed by nobody."""

import re
from pathlib import Path

import pytest
from django.db import DatabaseError, connection, transaction
from django.test import RequestFactory

from dashboard.audit import GROUPS, VERBS, record
from dashboard.models import AuditEntry, User
from dashboard.models.audit import AppendOnly
from tests.conftest import LEFT_OUT

pytestmark = pytest.mark.django_db
ROOT = Path(__file__).parent.parent / "dashboard"


@pytest.fixture
def entry(mei: User) -> AuditEntry:
    return record(mei, "view.share", "Failing this week")


def stored(entry: AuditEntry) -> tuple[str, str]:
    return AuditEntry.objects.values_list("actor", "target").get(pk=entry.pk)


def test_it_says_who_did_it_and_from_where(mei: User) -> None:
    request = RequestFactory().get("/", REMOTE_ADDR="::ffff:192.0.2.7")
    request.user = mei
    entry = record(request, "connection.edit", "prod", changes={"interval": (60, 120), "name": ("a\0", "b")})
    entry.refresh_from_db()
    assert (entry.actor, entry.user, entry.address) == ("mei", mei, "192.0.2.7")
    assert entry.changes == {"interval": [60, 120], "name": ["a", "b"]}


def test_what_looks_like_a_key_is_not_kept(mei: User) -> None:
    key = "sk-MARKER0123456789"
    entry = record(mei, "connection.edit", f"of {key}", detail=key, words=key, changes={"name": ("", key)})
    assert "MARKER" not in str(AuditEntry.objects.filter(pk=entry.pk).values())


def test_the_model_changes_and_deletes_nothing(entry: AuditEntry) -> None:
    every = AuditEntry.objects.filter(pk=entry.pk)
    entry.actor = "nobody"
    for attempt in (
        entry.save,
        entry.delete,
        lambda: every.update(actor="nobody"),
        every.delete,
        lambda: AuditEntry.objects.bulk_update([entry], ["actor"]),
        lambda: AuditEntry.objects.update_or_create({"actor": "nobody"}, pk=entry.pk),
        lambda: AuditEntry.objects.bulk_create([entry], update_conflicts=True, update_fields=["actor"]),
        AuditEntry(pk=entry.pk, actor="nobody", verb="x", target="x").save,
    ):
        with pytest.raises(AppendOnly):
            attempt()
    assert stored(entry) == ("mei", "Failing this week")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE dashboard_auditentry SET actor = 'nobody'",
        "UPDATE dashboard_auditentry SET actor = 'nobody' WHERE id = {pk}",
        "DELETE FROM dashboard_auditentry",
        "DELETE FROM dashboard_auditentry WHERE id = {pk}",
        "REPLACE INTO dashboard_auditentry SELECT id, at, 'nobody', verb, target, detail, changes, http_status, words, "
        "address, batch_id, person_id, user_id FROM dashboard_auditentry",
        "TRUNCATE dashboard_auditentry",
    ],
)
def test_nor_does_the_database_for_whoever_writes_to_it_directly(entry: AuditEntry, statement: str) -> None:
    if statement.split()[0] in {"sqlite": "TRUNCATE", "postgresql": "REPLACE"}[connection.vendor]:
        return  # knows no such statement
    with connection.cursor() as cursor:
        cursor.execute(LEFT_OUT[connection.vendor])  # until the end of this test's transaction
    with (
        pytest.raises(DatabaseError, match="the audit is append-only"),
        transaction.atomic(),
        connection.cursor() as cursor,
    ):
        cursor.execute(statement.format(pk=entry.pk))
    assert stored(entry) == ("mei", "Failing this week")


def test_the_log_outlives_who_it_is_about(entry: AuditEntry, mei: User) -> None:
    other = record("up", "person.edit", "mei", person=mei)
    mei.delete()
    assert stored(entry) == ("mei", "Failing this week")
    assert stored(other) == ("up", "mei")


def test_every_verb_that_is_recorded_has_words_and_a_group() -> None:
    source = "\n".join(path.read_text() for path in ROOT.rglob("*.py") if path.name != "audit.py")
    recorded = set(re.findall(rf'"((?:{"|".join(GROUPS)})\.[a-z_]+)"', source))
    assert recorded
    assert recorded <= VERBS.keys()
    assert {verb.partition(".")[0] for verb in VERBS} == GROUPS.keys()


def test_nothing_writes_to_it_but_record() -> None:
    writing = [path.name for path in ROOT.rglob("*.py") if "AuditEntry.objects.create" in path.read_text()]
    assert writing == ["audit.py"]
