"""What batches did over time, summed up by the quarter of an hour, so that charts of a month read hundreds of rows.

Times are unix seconds (UTC) of the beginning: a quarter of an hour is the finest that every zone's days are made of.
"""

from math import exp, log

from django.db import connection as database
from django.db import models

from dashboard.models.connection import Connection

QUARTER = 900
DAY = 86_400
STEP = 1.04  # from one length of time to the next: a median is told to within 2 per cent


def quarter_of(second: int) -> int:
    return second - second % QUARTER


def day_of(second: int) -> int:
    return second - second % DAY


def length_of(seconds: int) -> int:
    """The number of a length of time among lengths that each are 4 per cent more than the last."""
    return round(log(max(1, seconds)) / log(STEP))


def seconds_of(length: int) -> float:
    return exp(length * log(STEP))


class Flow(models.Model):
    """What one connection's requests did in a quarter of an hour. No row, or no look, is not zero: it is not known."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="flows", db_index=False)
    quarter = models.BigIntegerField()
    looks = models.PositiveIntegerField(default=0)  # syncs that ended well
    # Requests that were seen to end in it; those that ended while nobody looked for long are `late`.
    completed = models.BigIntegerField(default=0)
    failed = models.BigIntegerField(default=0)
    late = models.BigIntegerField(default=0)
    # At the last look in it: batches that were open, and requests of theirs that had not ended.
    batches_open = models.BigIntegerField(default=0)
    in_flight = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["quarter", "connection"], name="one_flow")]

    def __str__(self) -> str:
        return f"{self.connection_id} at {self.quarter}: {self.completed}+{self.failed}"


class Finished(models.Model):
    """How many batches of a connection ended in a quarter of an hour, by outcome."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="+", db_index=False)
    quarter = models.BigIntegerField()
    outcome = models.CharField(max_length=20)
    batches = models.BigIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["quarter", "connection", "outcome"], name="one_finished")]

    def __str__(self) -> str:
        return f"{self.outcome} at {self.quarter}: {self.batches}"


class Lasted(models.Model):
    """How many batches that ended on a day took how long from creation to completion, by model and endpoint."""

    connection = models.ForeignKey(Connection, on_delete=models.CASCADE, related_name="+", db_index=False)
    day = models.BigIntegerField()
    model = models.CharField(max_length=200, default="", blank=True)
    endpoint = models.CharField(max_length=200, default="", blank=True)
    length = models.IntegerField()  # see `length_of`
    batches = models.BigIntegerField(default=0)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["day", "connection", "model", "endpoint", "length"], name="one_lasted")
        ]

    def __str__(self) -> str:
        return f"{self.model} on {self.day}: {self.batches} of {seconds_of(self.length):.0f} s"


type Took = tuple[int, str, str, int]  # day, model, endpoint, length


def note_ended(connection_id: int, ended: dict[tuple[int, str], int], took: dict[Took, int]) -> None:
    """So many more batches, or fewer, ended in these quarters with these outcomes, and took so long.

    To be called in the transaction that writes those batches.
    """
    with database.cursor() as cursor:
        cursor.executemany(
            "INSERT INTO dashboard_finished (connection_id, quarter, outcome, batches) VALUES (%s, %s, %s, %s)"
            " ON CONFLICT (quarter, connection_id, outcome)"
            " DO UPDATE SET batches = dashboard_finished.batches + excluded.batches",
            [(connection_id, *of, more) for of, more in sorted(ended.items()) if more],
        )
        cursor.executemany(
            "INSERT INTO dashboard_lasted (connection_id, day, model, endpoint, length, batches)"
            " VALUES (%s, %s, %s, %s, %s, %s) ON CONFLICT (day, connection_id, model, endpoint, length)"
            " DO UPDATE SET batches = dashboard_lasted.batches + excluded.batches",
            [(connection_id, *of, more) for of, more in sorted(took.items()) if more],
        )


def note_flow(connection_id: int, second: int, *, completed: int = 0, failed: int = 0, late: int = 0) -> None:
    """Requests that were seen to have ended. To be called in the transaction that writes their batches."""
    with database.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO dashboard_flow ({_FLOW}) VALUES (%s, %s, 0, %s, %s, %s, 0, 0)"  # noqa: S608 (columns of ours)
            " ON CONFLICT (quarter, connection_id) DO UPDATE SET completed = dashboard_flow.completed"
            " + excluded.completed, failed = dashboard_flow.failed + excluded.failed,"
            " late = dashboard_flow.late + excluded.late",
            [connection_id, quarter_of(second), completed, failed, late],
        )


def note_look(connection_id: int, second: int, batches_open: int, in_flight: int) -> None:
    """A sync has ended well, and left so much under way."""
    with database.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO dashboard_flow ({_FLOW}) VALUES (%s, %s, 1, 0, 0, 0, %s, %s)"  # noqa: S608 (columns of ours)
            " ON CONFLICT (quarter, connection_id) DO UPDATE SET looks = dashboard_flow.looks + 1,"
            " batches_open = excluded.batches_open, in_flight = excluded.in_flight",
            [connection_id, quarter_of(second), batches_open, in_flight],
        )


_FLOW = "connection_id, quarter, looks, completed, failed, late, batches_open, in_flight"
