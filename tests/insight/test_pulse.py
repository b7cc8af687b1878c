"""Freshness and the token."""

from datetime import timedelta

import pytest
from django.db.models import F
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from dashboard.insight.causes import CAUSES, FLAWS, cause_of
from dashboard.insight.pulse import health_of, pulse, read_pulse, revisions_in
from dashboard.models import Connection, Part


def test_the_token_moves_with_a_revision_and_with_nothing_else(db: None) -> None:
    now = timezone.now()
    connection = Connection.objects.create(name="one", base_url="http://127.0.0.1:9/v1", tried_at=now, imported_at=now)
    before = read_pulse().token
    Connection.objects.update(synced_at=timezone.now(), tried_at=timezone.now())
    assert read_pulse().token == before
    Connection.objects.update(revision=F("revision") + 1)
    assert read_pulse().token != before
    assert revisions_in(read_pulse().token) == {connection.pk: 2}


def test_the_token_moves_when_a_part_dies(db: None) -> None:
    Part.objects.create(name="worker", state="running", since_at=timezone.now())
    before = read_pulse().token
    Part.objects.update(seen_at=timezone.now())
    assert read_pulse().token == before
    Part.objects.update(state="restarting", restarts=1)
    assert read_pulse().token != before


@given(st.text(max_size=200))
def test_a_token_that_nobody_made_is_read_as_nothing_seen_or_as_numbers(token: str) -> None:
    assert all(isinstance(key, int) and isinstance(value, int) for key, value in revisions_in(token).items())


def test_a_retired_connection_is_not_in_the_pulse(db: None) -> None:
    Connection.objects.create(name="gone", base_url="http://127.0.0.1:9/v1", retired_at=timezone.now())
    assert read_pulse().beats == ()


@pytest.mark.parametrize(
    ("fields", "health"),
    [
        ({}, "new"),
        ({"tried": 5}, "importing"),
        ({"tried": 5, "synced": 30, "imported": 100}, "in_step"),
        ({"tried": 5, "synced": 179, "imported": 999}, "in_step"),
        ({"tried": 5, "synced": 200, "imported": 999}, "stale"),
        ({"tried": 5, "synced": 700, "imported": 999}, "lost"),
        ({"tried": 5, "failing": 200}, "stale"),
        ({"tried": 5, "synced": 999, "imported": 999, "paused": 1}, "paused"),
    ],
)
def test_health_is_judged_by_the_clock(fields: dict[str, int], health: str) -> None:
    now = timezone.now()
    names = {"tried": "tried_at", "synced": "synced_at", "imported": "imported_at", "failing": "failing_since"}
    names["paused"] = "paused_at"
    connection = Connection(**{names[name]: now - timedelta(seconds=ago) for name, ago in fields.items()})
    assert health_of(connection, now) == health


def test_the_pulse_is_read_once_for_many_pages(db: None, settings: object, django_assert_num_queries: object) -> None:
    settings.PULSE_SECONDS = 60  # type: ignore[attr-defined]
    first = pulse()
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert pulse() is first


def test_every_kind_of_failure_has_a_sentence() -> None:
    from dashboard import dialects

    assert set(dialects.KINDS) <= set(CAUSES)
    assert set(dialects.FLAWS) == set(FLAWS)
    assert cause_of("martian") == "It failed: martian."
