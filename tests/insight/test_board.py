"""What a wall says of a scope: its numbers add up, and it says nothing that nobody knows."""

from datetime import timedelta

import pytest
from django.db.models import Q
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from dashboard.insight.board import AT_RISK, Board, Scope, board_of
from dashboard.insight.pulse import read_pulse
from dashboard.insight.squares import MOST_SQUARES, bars, squares
from dashboard.models import Batch, Concern, Connection, Reading
from tests.batches_made import batch_made, connection_made, counts
from tests.walls_made import wall_made

pytestmark = pytest.mark.django_db


def board(condition: Q | None = None, *, searched: bool = False) -> Board:
    taken = read_pulse()
    scope = Scope(frozenset(taken.names), condition or Q(), is_searched=searched)
    return board_of(taken, scope, timezone.now())


@pytest.mark.parametrize(("active", "load"), [(0, "clear"), (1, "one"), (2, "rows"), (20, "rows"), (21, "many")])
def test_it_is_composed_by_how_much_runs(active: int, load: str) -> None:
    wall_made(active)
    found = board()
    assert found.load == load
    assert len(found.lines) == active


@pytest.mark.parametrize(
    ("needed", "running", "shown"),
    [(3, 17, (3, 17)), (44, 8, (11, 8)), (44, 18, (8, 10)), (5, 18, (5, 14)), (21, 0, (19, 0))],
)
def test_few_that_run_are_rows_however_much_needs_attention(needed: int, running: int, shown: tuple[int, int]) -> None:
    prod, now = connection_made(), timezone.now()
    for _ in range(running):
        batch_made(prod, "in_progress", **counts(100, 40))
    for _ in range(needed):
        bad = batch_made(prod, "failed")
        Concern.objects.create(connection=prod, batch=bad, reason="failed_validation", opened_at=now, evidence={})
    found = board()
    assert found.load == "rows"
    assert (found.needed, found.running, found.rows) == (needed, running, shown)
    assert sum(shown) + (shown[0] < needed) + (shown[1] < running) <= 20


def test_nothing_connected_nothing_matching_and_a_first_import_differ_from_all_clear() -> None:
    assert board().load == "nothing"
    new = connection_made(synced_at=None, imported_at=None)
    assert board().load == "importing"
    Connection.objects.filter(pk=new.pk).update(synced_at=timezone.now(), imported_at=timezone.now())
    assert board().load == "clear"
    assert board(Q(name="nobody-called-it-so"), searched=True).load == "unmatched"


@pytest.mark.parametrize("active", [20, 120])
def test_what_needs_attention_and_what_runs_make_all_that_is_open(active: int) -> None:
    wall_made(active, needy=7)
    found = board()
    assert found.needed >= 7
    assert found.needed + found.running == active
    first = [line.need is not None for line in found.lines]
    assert first == sorted(first, reverse=True)  # attention first
    deadlines = [line.batch.expires_at for line in found.lines if line.need is None]
    assert deadlines == sorted(deadlines)  # type: ignore[type-var]


def test_what_ended_badly_and_a_failing_connection_need_attention_beside_what_runs() -> None:
    prod = connection_made()
    batch_made(prod, "in_progress", **counts(100, 40))
    bad = batch_made(prod, "completed", **counts(100, 0, 100))
    now = timezone.now()
    Concern.objects.create(connection=prod, batch=bad, reason="all_failed", opened_at=now, evidence={"failed": 100})
    Concern.objects.create(connection=prod, batch=bad, reason="counts_differ", opened_at=now)
    Concern.objects.create(connection=prod, reason="connection_failing", opened_at=now)
    Concern.objects.create(connection=prod, batch=bad, reason="results_expire", opened_at=now)
    found = board()
    assert [need.reason for need in found.needs] == ["connection_failing", "all_failed"]
    assert (found.needed, found.running) == (2, 1)
    # In another scope the batch concerns nobody, the connection does.
    other = board(Q(outcome="open"))
    assert [need.reason for need in other.needs] == ["connection_failing"]


def test_a_batch_that_is_likely_late_needs_attention_before_anybody_noted_it() -> None:
    prod = connection_made()
    now = timezone.now()
    slow = batch_made(prod, "in_progress", created_at=now - timedelta(hours=20), **counts(1000, 200))
    for hours, done in ((16, 40), (12, 80), (8, 120), (4, 160), (0, 200)):
        at = now - timedelta(hours=hours)
        Reading.objects.create(batch=slow, asked_at=at, status="in_progress", total=1000, completed=done, failed=0)
    assert [need.reason for need in board().needs] == [AT_RISK]
    wall_made(30, needy=0, ended=False)
    assert AT_RISK in [need.reason for need in board().needs]  # also among many


def test_while_a_connection_is_stale_its_batches_are_as_of_then_and_nothing_is_foreseen() -> None:
    made = wall_made(20, stale=True, needy=0)
    found = board()
    assert not found.is_stale
    assert {line.batch.connection_id for line in found.lines if line.is_stale} == {made[2].pk}
    Connection.objects.update(synced_at=timezone.now() - timedelta(hours=1))
    found = board()
    assert found.is_stale
    assert all(line.is_stale for line in found.lines)
    assert found.forecast.by is None


def test_a_changed_row_is_read_again_and_the_others_are_not(
    django_assert_max_num_queries: DjangoAssertNumQueries,
) -> None:
    wall_made(300)
    before = board()
    one = before.lines[-1].batch
    Batch.objects.filter(pk=one.pk).update(requests_completed=7, requests_total=9, revision=one.revision + 1)
    with django_assert_max_num_queries(14):
        after = board()
    changed = next(line.batch for line in after.lines if line.batch.pk == one.pk)
    assert (changed.requests_completed, changed.requests_total) == (7, 9)
    assert sum(line.batch is not old.batch for line, old in zip(after.lines, before.lines, strict=True)) <= 2


def test_every_open_batch_is_one_square_and_belongs_to_one_bar() -> None:
    wall_made(137)
    lines = board().lines
    drawn = squares(lines)
    assert drawn.counts.total() == 137
    assert drawn.width * drawn.height >= 137 * 100
    assert sum(bar.number for bar in bars(lines, 8)) == 137
    for bar in bars(lines, 8):
        assert sum(width for _kind, _x, width in bar.pieces) == pytest.approx(100, abs=0.1)
    assert MOST_SQUARES >= 500
