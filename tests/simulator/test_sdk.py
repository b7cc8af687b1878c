"""The official SDK, which nobody here wrote, takes the simulator for OpenAI."""

import json
from itertools import pairwise

import openai
import pytest
from openai import OpenAI
from openai.types import Batch

from dashboard.simulator import World, serve
from tests.simulator.conftest import Clock

DAY = 86_400


def upload(sdk: OpenAI, *custom_ids: str, url: str = "/v1/chat/completions", junk: str = "") -> str:
    """Uploads an input file of these requests, a line of junk after the first."""
    lines = [
        json.dumps({"custom_id": name, "method": "POST", "url": url, "body": {"model": "gpt-4o-mini", "messages": []}})
        for name in custom_ids
    ]
    if junk:
        lines.insert(1, junk)
    return sdk.files.create(file=("in.jsonl", "\n".join(lines).encode()), purpose="batch").id


def create(sdk: OpenAI, file_id: str, **metadata: str) -> Batch:
    return sdk.batches.create(
        input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h", metadata=metadata
    )


def content(sdk: OpenAI, file_id: str | None) -> list[dict[str, object]]:
    assert file_id
    return [json.loads(line) for line in sdk.files.content(file_id).iter_lines()]


def test_paging_gives_each_batch_once_newest_first(clock: Clock) -> None:
    world = World(1_234, clock=clock, open=5)
    with serve(world) as url, OpenAI(base_url=url, api_key="sk-simulator", max_retries=0) as sdk:
        batches = list(sdk.batches.list(limit=100))
        assert len({batch.id for batch in batches}) == len(batches) == 1_234
        assert all(newer.created_at >= older.created_at for newer, older in pairwise(batches))
        assert len(world.requests) == 13
        assert [batch.id for batch in sdk.batches.list(limit=7)] == [batch.id for batch in batches]


def test_page_holds_twenty_unless_asked(sdk: OpenAI) -> None:
    page = sdk.batches.list()
    assert len(page.data) == 20
    assert page.has_more


def test_retrieved_batch_equals_the_listed_one(clock: Clock) -> None:
    world = World(400, clock=clock, open=30)
    with serve(world) as url, OpenAI(base_url=url, api_key="sk-simulator", max_retries=0) as sdk:
        listed = list(sdk.batches.list(limit=100))
        assert {batch.status for batch in listed} > {"completed", "failed", "in_progress", "cancelled"}
        for batch in listed[::5]:
            assert sdk.batches.retrieve(batch.id).to_dict() == batch.to_dict()


def test_created_batch_runs_through_its_states_to_its_files(sdk: OpenAI, clock: Clock) -> None:
    file_id = upload(sdk, *(f"ask-{n}" for n in range(8)), "fail-1", "fail-2")
    batch = create(sdk, file_id, name="mine")
    seen = []
    for _ in range(400):
        batch = sdk.batches.retrieve(batch.id)
        seen += [batch.status] if batch.status not in seen else []
        counts = batch.request_counts
        assert counts
        assert (counts.total == 0) is (batch.status == "validating")
        if batch.status == "completed":
            break
        clock.at += 30
    assert seen == ["validating", "in_progress", "finalizing", "completed"]
    assert counts
    assert counts.to_dict() == {"total": 10, "completed": 8, "failed": 2}
    assert batch.metadata == {"name": "mine"}
    assert batch.model == "gpt-4o-mini"
    assert [line["custom_id"] for line in content(sdk, batch.output_file_id)] == [f"ask-{n}" for n in range(8)]
    errors = content(sdk, batch.error_file_id)
    assert [line["custom_id"] for line in errors] == ["fail-1", "fail-2"]
    assert errors[0]["error"] is None
    assert batch.id == sdk.batches.list().data[0].id


def test_unreadable_line_fails_the_check_and_names_the_line(sdk: OpenAI, clock: Clock) -> None:
    batch = create(sdk, upload(sdk, "a", "b", "b", junk="{not json"))
    assert batch.status == "validating"
    clock.at += 3_600
    batch = sdk.batches.retrieve(batch.id)
    assert batch.status == "failed"
    assert batch.errors
    assert batch.errors.data
    assert [(e.code, e.line) for e in batch.errors.data] == [("invalid_json_line", 2), ("duplicate_custom_id", 4)]
    assert (batch.output_file_id, batch.error_file_id, batch.in_progress_at) == (None, None, None)


def test_empty_file_fails_the_check(sdk: OpenAI, clock: Clock) -> None:
    batch = create(sdk, upload(sdk))
    clock.at += 3_600
    assert sdk.batches.retrieve(batch.id).status == "failed"


def test_batch_whose_requests_all_fail_completes_without_output(sdk: OpenAI, clock: Clock) -> None:
    batch = create(sdk, upload(sdk, "fail-1", "fail-2"))
    clock.at += DAY / 2
    batch = sdk.batches.retrieve(batch.id)
    assert (batch.status, batch.output_file_id) == ("completed", None)
    assert batch.error_file_id


def test_expired_batch_leaves_a_remainder_unaccounted(sdk: OpenAI, clock: Clock) -> None:
    batch = create(sdk, upload(sdk, *(f"ask-{n}" for n in range(10))), simulate="expired")
    clock.at += DAY - 1
    assert sdk.batches.retrieve(batch.id).status == "in_progress"
    clock.at += 1
    batch = sdk.batches.retrieve(batch.id)
    assert batch.status == "expired"
    assert batch.request_counts
    assert batch.request_counts.to_dict() == {"total": 10, "completed": 6, "failed": 0}
    assert {str(line["error"])[:24] for line in content(sdk, batch.error_file_id)} == {"{'code': 'batch_expired'"}


def test_cancel_stops_the_counts_and_ends_cancelled(sdk: OpenAI, clock: Clock) -> None:
    batch = create(sdk, upload(sdk, *(f"ask-{n}" for n in range(100))))
    while sdk.batches.retrieve(batch.id).status != "in_progress":
        clock.at += 10
    clock.at += 600
    cancelling = sdk.batches.cancel(batch.id)
    assert (cancelling.status, cancelling.cancelling_at) == ("cancelling", int(clock.at))
    assert sdk.batches.cancel(batch.id) == cancelling
    clock.at += 600
    cancelled = sdk.batches.retrieve(batch.id)
    assert cancelled.status == "cancelled"
    assert cancelled.request_counts == cancelling.request_counts
    assert cancelled.request_counts
    assert 0 < cancelled.request_counts.completed < 100
    assert len(content(sdk, cancelled.error_file_id)) == 100 - cancelled.request_counts.completed


def test_cancel_while_finalizing_loses_the_race(sdk: OpenAI, clock: Clock) -> None:
    batch = create(sdk, upload(sdk, "a"))
    while sdk.batches.retrieve(batch.id).status != "finalizing":
        clock.at += 10
    assert sdk.batches.cancel(batch.id).status == "cancelling"
    clock.at += 3_600
    assert sdk.batches.retrieve(batch.id).status == "completed"


def test_cancel_of_a_finished_batch_is_refused_in_openais_words(sdk: OpenAI) -> None:
    done = next(batch for batch in sdk.batches.list() if batch.status == "completed")
    with pytest.raises(openai.ConflictError, match="Cannot cancel a batch with status 'completed'") as refused:
        sdk.batches.cancel(done.id)
    assert refused.value.request_id


def test_derived_batch_can_be_cancelled(clock: Clock) -> None:
    world = World(100, clock=clock, open_positions=[40])
    with serve(world) as url, OpenAI(base_url=url, api_key="sk-simulator", max_retries=0) as sdk:
        batch = list(sdk.batches.list(limit=100))[40]
        sdk.batches.cancel(batch.id)
        clock.at += 600
        assert list(sdk.batches.list(limit=100))[40].status == "cancelled"


def test_files_are_as_long_as_they_say(sdk: OpenAI) -> None:
    seen = set()
    for batch in sdk.batches.list(limit=60).data:
        for file_id in (batch.input_file_id, batch.output_file_id, batch.error_file_id):
            kind = (batch.endpoint, file_id == batch.input_file_id, file_id == batch.error_file_id)
            if file_id and kind not in seen:
                seen.add(kind)
                assert len(sdk.files.content(file_id).read()) == sdk.files.retrieve(file_id).bytes
    assert len(seen) > 8


def test_file_lines_agree_with_the_counts(sdk: OpenAI) -> None:
    batches = sdk.batches.list(limit=100)
    partial = next(b for b in batches if b.request_counts and b.output_file_id and b.request_counts.failed > 1)
    assert partial.request_counts
    output, errors = content(sdk, partial.output_file_id), content(sdk, partial.error_file_id)
    assert (len(output), len(errors)) == (partial.request_counts.completed, partial.request_counts.failed)
    names = {str(line["custom_id"]) for line in output + errors}
    assert len(names) == partial.request_counts.total


def test_files_are_listed_page_by_page_each_once(sdk: OpenAI) -> None:
    mine = upload(sdk, "a")
    listed = [file.id for file in sdk.files.list()]
    assert listed[0] == mine
    assert [file.id for file in sdk.files.list(limit=50)] == listed
    assert len(set(listed)) == len(listed)
    assert all(file.purpose == "batch_output" for file in sdk.files.list(purpose="batch_output").data)


def test_upload_comes_back_as_it_was_sent(sdk: OpenAI) -> None:
    sent = b"\r\n--odd\r\n\x00\xff last line without end\r"
    file = sdk.files.create(file=("odd.bin", sent), purpose="batch")
    assert (file.filename, file.bytes) == ("odd.bin", len(sent))
    assert sdk.files.content(file.id).read() == sent


def test_output_is_gone_after_thirty_days(sdk: OpenAI, clock: Clock) -> None:
    done = next(batch for batch in sdk.batches.list() if batch.output_file_id)
    clock.at += 31 * DAY
    assert sdk.batches.retrieve(done.id).output_file_id
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        sdk.files.content(done.output_file_id or "")


def test_models_are_listed(sdk: OpenAI) -> None:
    assert "gpt-4o-mini-2024-07-18" in [model.id for model in sdk.models.list()]
