"""Connections and batches in every state, made directly: for tests of pages, and for looking at them."""

import json
import random
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from dashboard.insight.outcome import outcome_of
from dashboard.models import Act, Batch, Connection, Counter, Part, Reading, SyncRun, Transition
from dashboard.models.batch import FOR_EVER, GRACE, TERMINAL, Outcome, Status, place_of
from dashboard.models.search import index_new, note_facets, searchable
from dashboard.sync import concerns

ENDS = {"completed": "completed_at", "failed": "failed_at", "expired": "expired_at", "cancelled": "cancelled_at"}


def connection_made(name: str = "OpenAI / prod", **columns: Any) -> Connection:
    """In step since a moment ago, unless told otherwise."""
    now = timezone.now()
    given: dict[str, Any] = {
        "base_url": "https://api.example.com/v1",
        "tried_at": now,
        "synced_at": now - timedelta(seconds=12),
        "imported_at": now - timedelta(days=3),
        "next_sync_at": now + timedelta(seconds=33),
        "health": Connection.Health.IN_STEP,
    }
    return Connection.objects.create(name=name, **(given | columns))


def batch_made(connection: Connection, status: str = "in_progress", **columns: Any) -> Batch:
    """One batch as absorb would leave it, with its counter and first transition."""
    now = timezone.now()
    known = status if status in Status else Status.UNKNOWN.value
    made: datetime = columns.get("created_at") or now - timedelta(hours=2)
    number = Batch.objects.count() + 1
    given: dict[str, Any] = {
        "remote_id": f"batch_{number:024x}",
        "raw_status": status,
        "created_at": made,
        "in_progress_at": made + timedelta(seconds=40),
        "expires_at": made + timedelta(hours=24),
        "completion_window": "24h",
        "endpoint": "/v1/responses",
        "model": "gpt-5-mini",
        "input_file_id": f"file-{number:012x}",
        "asked_at": now,
        "first_seen_at": now,
        "revision": connection.revision,
        "metadata": {},
    } | columns
    given.setdefault("ordered_at", given["created_at"] or now)
    if known in TERMINAL:
        given.setdefault("finished_at", made + timedelta(hours=1, minutes=20))
        given.setdefault(ENDS[known], given["finished_at"])
    is_open = known not in TERMINAL
    if is_open and given.get("gone_at"):
        given.setdefault("outcome", Outcome.UNSEEN)
    given.setdefault(
        "outcome",
        outcome_of(
            known,
            given.get("requests_total"),
            given.get("requests_completed"),
            given.get("requests_failed"),
            started=bool(given["in_progress_at"]),
        ),
    )
    if "name" in given:
        given["metadata"] = {"name": given["name"]} | given["metadata"]
    if "owner" in given:
        given["metadata"] = given["metadata"] | {"owner": given["owner"]}
    given.setdefault("refresh_until", FOR_EVER if is_open else (given["finished_at"] or now) + GRACE)
    given.setdefault("place", place_of(connection.pk, given["remote_id"], int(given["ordered_at"].timestamp())))
    given.setdefault(
        "search_text", searchable(given["remote_id"], given["metadata"], given["model"], given["endpoint"])
    )
    given.setdefault("payload", payload_of(given))
    batch = Batch.objects.create(connection=connection, status=known, is_open=is_open, **given)
    index_new(batch.pk - 1)
    note_facets(connection.pk, [("model", batch.model), ("endpoint", batch.endpoint)])
    counter, _made = Counter.objects.get_or_create(connection=connection, status=known, outcome=batch.outcome)
    counter.batches += 1
    counter.save()
    Transition.objects.create(batch=batch, new_status=known, at=made, noticed_at=now, source="poll")
    Reading.objects.create(batch=batch, asked_at=now, status=known, total=batch.requests_total)
    return batch


def payload_of(given: dict[str, Any]) -> bytes:
    counts = {name: given.get(f"requests_{name}") for name in ("total", "completed", "failed")}
    body = {"id": given["remote_id"], "object": "batch", "status": given["raw_status"], "endpoint": given["endpoint"]}
    return json.dumps(body | {"metadata": given["metadata"], "request_counts": counts}).encode()


def counts(total: int, completed: int, failed: int = 0) -> dict[str, int]:
    return {"requests_total": total, "requests_completed": completed, "requests_failed": failed}


def syncs_made(connection: Connection, letters: str) -> None:
    """A sync for each letter, oldest first: o good, s slow, x failed."""
    now = timezone.now()
    for i, letter in enumerate(letters):
        SyncRun.objects.create(
            connection=connection,
            kind="cycle",
            began_at=now - timedelta(seconds=45 * (len(letters) - i)),
            seconds=4.0 if letter == "s" else 0.4,
            requests=1,
            ending="failed" if letter == "x" else "good",
        )


def everything_made() -> dict[str, Batch]:
    """Every state that the pages can show, newest first as they are made last."""
    now = timezone.now()
    prod = connection_made()
    azure = connection_made("Azure / eu")
    lab = connection_made(
        "OGX / lab",
        synced_at=now - timedelta(minutes=16),
        failing_since=now - timedelta(minutes=15),
        failures=4,
        error_kind="timeout",
        health=Connection.Health.LOST,
    )
    syncs_made(prod, "ooooooooooooosoooooo")
    syncs_made(azure, "oooooosssoooossooooo")
    syncs_made(lab, "ooooooooooooooxxxx")
    for part in ("web", "worker", "beat"):
        Part.objects.create(name=part, state="running", since_at=now - timedelta(hours=5), seen_at=now)

    def at(**ago: float) -> datetime:
        return now - timedelta(**ago)

    bad_line = [{"code": "invalid_json_line", "message": "Expecting ',' delimiter at column 812", "line": 212}]
    no_model = [{"code": "model_not_found", "message": "The model gpt-5-mini-2026-10 does not exist", "param": "model"}]
    made: dict[str, Batch] = {}

    def make(key: str, connection: Connection, status: str, name: str, **columns: Any) -> None:
        made[key] = batch_made(connection, status, name=name, **columns)

    make("gone", azure, "in_progress", "catalog-enrich-de-shard-01", created_at=at(hours=20), owner="mei",
         gone_at=at(hours=5), **counts(800, 640))  # fmt: skip
    make("none", azure, "completed", "smoke-empty-input", created_at=at(hours=19), owner="ci-bot",
         finished_at=at(hours=18.99), **counts(0, 0))  # fmt: skip
    make("uncounted", lab, "completed", "lora-distill-eval", created_at=at(hours=18), owner="tomas",
         model="llama-3.3-70b", endpoint="/v1/chat/completions")  # fmt: skip
    make("cancelled", azure, "cancelled", "sentiment-reviews-es-2026-11", created_at=at(hours=17), owner="jonas",
         cancelling_at=at(hours=16.9), output_file_id="file-cancelled-out", **counts(900, 40))  # fmt: skip
    make("expired", azure, "expired", "invoice-extract-q3-part-3", created_at=at(hours=30), owner="jonas",
         finished_at=at(hours=6), ordered_at=at(hours=16), output_file_id="file-expired-out",
         **counts(1000, 812))  # fmt: skip
    make("invalid", azure, "failed", "invoice-extract-q3-part-4", created_at=at(hours=15), owner="jonas",
         in_progress_at=None, finished_at=at(hours=14.97), errors=bad_line)  # fmt: skip
    make("succeeded", prod, "completed", "catalog-enrich-fr-shard-02", created_at=at(hours=14), owner="mei",
         finalizing_at=at(hours=12.8), output_file_id="file-9ZtAm0", tokens_input=1204331, tokens_output=88190,
         tokens_total=1292521, tokens_cached=400000, tokens_reasoning=1200, **counts(800, 800))  # fmt: skip
    make("all_failed", prod, "completed", "catalog-enrich-fr-shard-03", created_at=at(hours=13), owner="mei",
         errors=no_model, **counts(800, 0, 800))  # fmt: skip
    make("partial", prod, "completed", "nightly-eval-2026-11-21", created_at=at(hours=12), owner="ana",
         metadata={"team": "search-quality", "suite": "nightly-eval", "git": "8f2c1d9", "env": "eu"},
         finished_at=at(minutes=25), error_file_id="file-Bc4d71", **counts(100, 97, 3))  # fmt: skip
    make("lost", prod, "completed", "summaries-calls-2026-11-20", created_at=at(hours=11), owner="jonas",
         **counts(5000, 4981, 7))  # fmt: skip
    make("unknown", lab, "queued_local", "lora-distill-traces-22", created_at=at(hours=10), owner="tomas",
         model="llama-3.3-70b", in_progress_at=None, **counts(640, 0))  # fmt: skip
    make("stale", lab, "in_progress", "synthetic-qa-legal-v3", created_at=at(hours=9), owner="tomas",
         model="llama-3.3-70b", endpoint="/v1/chat/completions", **counts(800, 212, 3))  # fmt: skip
    make("overdue", azure, "in_progress", "weekly-classify-2026-w47", created_at=at(hours=26), owner="jonas",
         ordered_at=at(hours=8), is_overdue=True, **counts(20000, 9120, 31))  # fmt: skip
    make("cancelling", prod, "cancelling", "moderation-backfill-2026-11-20", created_at=at(hours=7), owner="ana",
         cancelling_at=at(minutes=3), model="omni-moderation", **counts(120000, 48211))  # fmt: skip
    make("finalizing", prod, "finalizing", "pii-scrub-tickets-wk47", created_at=at(hours=6), owner="mei",
         finalizing_at=at(minutes=4), **counts(12000, 12000))  # fmt: skip
    make("requested", prod, "in_progress", "kb-dedupe-nightly-2026-11-21", created_at=at(hours=5), owner="ci-bot",
         **counts(3000, 1410))  # fmt: skip
    make("running", prod, "in_progress", "eval-judge-pairwise-ablation-7", created_at=at(hours=4), owner="ana",
         metadata={"team": "search"}, **counts(1500, 1180, 12))  # fmt: skip
    make("untouched", azure, "in_progress", "docs-translate-de-0471", created_at=at(minutes=26), owner="jonas",
         **counts(2400, 0))  # fmt: skip
    made["nameless"] = batch_made(prod, "in_progress", created_at=at(minutes=20), **counts(50000, 31204))
    make("validating", prod, "validating", "support-triage-2026-11-21-14h", created_at=at(minutes=2), owner="mei",
         in_progress_at=None, **counts(0, 0))  # fmt: skip
    Act.objects.create(batch=made["requested"], kind="cancel", state="accepted", who="Ana", began_at=at(minutes=1))
    odd = made["lost"]
    odd.oddities = ["cancelled_at: a time in 1970 (0)", "usage: not an object ([])"]
    odd.save()
    return made


def judged() -> None:
    """Everything needs what a tick of this moment finds."""
    now = timezone.now()
    Batch.objects.update(judge_at=now)
    concerns.judge_connections(now)
    concerns.judge_due(now)


def needy_made() -> dict[str, Batch]:
    """Everything, and one more batch for each reason that is not among it."""
    made = everything_made()
    prod = Connection.objects.get(name="OpenAI / prod")
    now = timezone.now()
    hours = timedelta(hours=1)
    late = {"created_at": now - 26 * hours, "expires_at": now - 2 * hours}
    made["validating_long"] = batch_made(
        prod, "validating", name="embed-wiki-dump-2026-11-20", created_at=now - 3 * hours, in_progress_at=None
    )
    made["high"] = batch_made(
        prod, "completed", name="judge-toxicity-2026-w47", created_at=now - 6 * hours, **counts(1000, 640, 360)
    )
    made["nearly"] = batch_made(
        prod, "in_progress", name="weekly-summaries-emea", created_at=now - 23 * hours, **counts(20000, 9120, 31)
    )
    made["late"] = batch_made(prod, "finalizing", name="nightly-late", finalizing_at=now, **late, **counts(100, 100))
    made["stuck"] = batch_made(
        prod, "cancelling", name="runaway-prompts-7", cancelling_at=now - hours, **counts(50000, 120)
    )
    made["expiring"] = batch_made(
        prod, "completed", name="archive-2026-10", created_at=now - timedelta(days=28), output_file_id="file-out",
        **counts(800, 800),
    )  # fmt: skip
    judged()
    return made


def crowd_made(connection: Connection, number: int) -> None:
    """Many plain ones."""
    dice = random.Random(7)
    words = ["nightly-eval", "kb-dedupe", "docs-translate", "catalog-enrich", "support-triage", "judge-helpfulness"]
    now = timezone.now()
    for i in range(number):
        total = dice.choice([100, 800, 2500, 50000])
        failed = dice.choice([0, 0, 0, 3])
        batch_made(
            connection,
            "completed",
            name=f"{dice.choice(words)}-{i:04d}",
            created_at=now - timedelta(days=1, minutes=i),
            owner=dice.choice(["ana", "mei", "jonas", "ci-bot"]),
            **counts(total, total - failed, failed),
        )
