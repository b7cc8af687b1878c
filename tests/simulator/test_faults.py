"""Each fault does what it says, to the requests that it names, until it is removed."""

import time
from typing import Any

import httpx
import msgspec
import pytest

from dashboard.simulator import FAULTS, World, serve
from tests.simulator.conftest import START, Clock


def page(http: httpx.Client, **query: str) -> dict[str, Any]:
    found: dict[str, Any] = http.get("/batches", params=query).json()
    return found


def test_fault_ends_after_its_count(http: httpx.Client, world: World) -> None:
    world.faults.add("rate_limit", 7, count=2)
    answers = [http.get("/batches") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [429, 429, 200]
    assert answers[0].headers["retry-after"] == "7"


def test_fault_lasts_until_removed(http: httpx.Client, world: World) -> None:
    world.faults.add("server_error")
    assert [http.get("/batches").status_code for _ in range(3)] == [500, 500, 500]
    world.faults.remove("server_error")
    assert http.get("/batches").status_code == 200


def test_fault_hits_only_what_it_names(http: httpx.Client, world: World) -> None:
    world.faults.add("server_error", 503, only="retrieve")
    assert http.get("/batches").status_code == 200
    assert http.get("/batches/batch_nothing").status_code == 503


def test_fault_is_read_from_a_command_line(http: httpx.Client, world: World) -> None:
    world.faults.parse("rate_limit@list=0.5*1")
    assert http.get("/models").status_code == 200
    assert http.get("/batches").headers["retry-after"] == "0.5"
    assert http.get("/batches").status_code == 200


@pytest.mark.parametrize("text", ["nonsense", "rate_limit*x", ""])
def test_unknown_fault_is_refused(world: World, text: str) -> None:
    with pytest.raises(ValueError, match="fault"):
        world.faults.parse(text)


@pytest.mark.parametrize(
    ("kind", "status"),
    [("gateway", 502), ("html", 200), ("not_json", 200), ("unauthorized", 401), ("not_found", 404), ("redirect", 307)],
)
def test_answer_in_place_of_the_page(http: httpx.Client, world: World, kind: str, status: int) -> None:
    world.faults.add(kind)
    answer = http.get("/batches")
    assert answer.status_code == status
    if status in (200, 502):
        with pytest.raises(ValueError, match=r"value|Unterminated"):
            answer.json()


def test_error_with_status_200(http: httpx.Client, world: World) -> None:
    world.faults.add("error_200")
    assert list(page(http)) == ["error"]


def test_slow_answer_comes_late(http: httpx.Client, world: World) -> None:
    world.faults.add("slow", 0.2)
    began = time.monotonic()
    assert http.get("/batches").status_code == 200
    assert time.monotonic() - began >= 0.2


def test_hanging_answer_ends_with_the_server(world: World) -> None:
    world.faults.add("hang")
    began = time.monotonic()
    with serve(world) as url, pytest.raises(httpx.ReadTimeout):
        httpx.get(f"{url}/batches", timeout=0.2)
    assert time.monotonic() - began < 5


def test_disconnect_breaks_the_body(http: httpx.Client, world: World) -> None:
    world.faults.add("disconnect", count=1)
    with pytest.raises(httpx.RemoteProtocolError, match="without sending complete message body"):
        http.get("/batches")
    assert http.get("/batches").status_code == 200


def test_lost_answer_still_acts(clock: Clock) -> None:
    world = World(10, open_positions=[0], clock=clock)
    life = world.page(None, 1)[0][0]
    world.faults.add("lost_answer")
    with serve(world) as url, httpx.Client(headers={"Authorization": "Bearer sk-simulator"}) as http:
        with pytest.raises(httpx.RemoteProtocolError):
            http.post(f"{url}/batches/{life.id}/cancel")
        assert http.get(f"{url}/batches/{life.id}").json()["status"] == "cancelling"


def test_loop_never_ends(http: httpx.Client, world: World) -> None:
    world.faults.add("loop")
    first = page(http)
    assert page(http, after=first["last_id"]) == first
    assert page(http, limit="100", after=world.life(3).id)["has_more"] is True


def test_alternate_pages_come_with_new_tokens(http: httpx.Client, world: World) -> None:
    world.faults.add("alternate")
    first = page(http)
    second = page(http, after=first["next_page_token"])
    third = page(http, after=second["next_page_token"])
    assert third["data"] == first["data"] != second["data"]
    assert third["has_more"] is True
    assert len({answer["next_page_token"] for answer in (first, second, third)}) == 3


def test_empty_page_claims_more(http: httpx.Client, world: World) -> None:
    world.faults.add("empty_more")
    first = page(http)
    assert len(first["data"]) == 20
    second = page(http, after=first["last_id"])
    assert (second["data"], second["has_more"]) == ([], True)


def test_unknown_cursor_restarts(http: httpx.Client, world: World) -> None:
    world.faults.add("restart")
    first = page(http)
    assert page(http, after="batch_nothing") == first
    assert page(http, after=first["last_id"]) != first


def test_oldest_first_adds_new_batches_at_the_end(http: httpx.Client, world: World) -> None:
    newest_first = [batch["id"] for batch in page(http, limit="100")["data"]]
    world.faults.add("oldest_first")
    first = page(http, limit="30")
    assert first["data"][0]["created_at"] < first["data"][-1]["created_at"]
    ids, more = [batch["id"] for batch in first["data"]], first["has_more"]
    while more:
        following = page(http, limit="30", after=ids[-1])
        ids += [batch["id"] for batch in following["data"]]
        more = following["has_more"]
    assert ids[: -len(newest_first) - 1 : -1] == newest_first
    line = b'{"custom_id": "a", "method": "POST", "url": "/v1/responses", "body": {"model": "m"}}'
    made = [world.create(world.upload("in.jsonl", "batch", line), "/v1/responses", None).id for _ in range(2)]
    assert [batch["id"] for batch in page(http, after=ids[-1])["data"]] == made
    assert [batch["id"] for batch in page(http, after=made[0])["data"]] == made[1:]


def test_stale_list_moves_only_by_retrieve(clock: Clock) -> None:
    world = World(10, open=3, clock=clock)
    world.faults.add("stale_list")
    with serve(world) as url, httpx.Client(base_url=url, headers={"Authorization": "Bearer sk-simulator"}) as http:
        before = {batch["id"]: batch for batch in page(http)["data"]}
        moving = next(text for text, batch in before.items() if batch["status"] == "in_progress")
        clock.at += 200
        assert all(batch == before[batch["id"]] for batch in page(http)["data"] if batch["id"] in before)
        retrieved = http.get(f"/batches/{moving}").json()
        assert retrieved != before[moving]
        assert retrieved in page(http)["data"]


def test_list_without_counts(http: httpx.Client, world: World) -> None:
    world.faults.add("list_lacks_counts")
    batch = page(http)["data"][0]
    assert "request_counts" not in batch
    assert "request_counts" in http.get(f"/batches/{batch['id']}").json()


def test_bad_records_stand_beside_good_ones(http: httpx.Client, world: World) -> None:
    world.faults.add("bad_records")
    data = page(http)["data"]
    assert "id" not in data[0]
    assert "status" not in data[1]
    assert data[2]["object"] == "file"
    assert {"id", "status"} <= set(data[3])


def test_odd_fields(http: httpx.Client, world: World) -> None:
    world.faults.add("odd_fields")
    batch = page(http)["data"][0]
    assert (batch["in_progress_at"], batch["request_counts"]["completed"]) == (0, -3)
    assert isinstance(http.get(f"/batches/{batch['id']}").json()["errors"], str)


def test_camel_case_leaves_metadata_alone(http: httpx.Client, world: World) -> None:
    plain = page(http)
    world.faults.add("camel_case")
    camel = page(http)
    assert {"inputFileId", "requestCounts", "createdAt"} <= set(camel["data"][0])
    assert "hasMore" in camel
    assert [batch["metadata"] for batch in camel["data"]] == [batch["metadata"] for batch in plain["data"]]


def test_vanished_batch_is_nowhere(http: httpx.Client, world: World) -> None:
    gone = page(http)["data"][4]["id"]
    world.faults.add("vanish", gone)
    assert http.get(f"/batches/{gone}").status_code == 404
    assert gone not in [batch["id"] for batch in page(http)["data"]]
    world.faults.clear()
    assert http.get(f"/batches/{gone}").status_code == 200


def test_acts_are_refused(http: httpx.Client, world: World) -> None:
    text = page(http)["first_id"]
    world.faults.add("refuse_cancel", "finalizing")
    assert "'finalizing'" in http.post(f"/batches/{text}/cancel").json()["error"]["message"]
    world.faults.add("read_only")
    world.faults.remove("refuse_cancel")
    assert http.post(f"/batches/{text}/cancel").status_code == 403
    assert http.get(f"/batches/{text}").status_code == 200


@pytest.mark.parametrize(("kind", "expected"), [("null_data", None), ("deep", list)])
def test_list_of_another_shape(http: httpx.Client, world: World, kind: str, expected: type | None) -> None:
    world.faults.add(kind, 50 if kind == "deep" else None)
    data = page(http)["data"]
    assert data is None if expected is None else isinstance(data, expected)


def test_bare_array(http: httpx.Client, world: World) -> None:
    world.faults.add("bare_array")
    assert len(msgspec.json.decode(http.get("/batches").content, type=list[dict[str, Any]])) == 20


def test_huge_answer_is_still_json(http: httpx.Client, world: World) -> None:
    world.faults.add("huge", 3)
    answer = http.get("/batches")
    assert len(answer.content) > 3_000_000
    assert answer.json()["object"] == "list"


def test_clock_of_the_server_may_be_wrong(http: httpx.Client, world: World, clock: Clock) -> None:
    world.faults.add("skew", 40)
    clock.at = START
    assert http.get("/batches").headers["date"] == "Thu, 28 May 2026 20:27:20 GMT"


def test_batch_of_another_id(http: httpx.Client, world: World) -> None:
    text = page(http)["first_id"]
    world.faults.add("wrong_id")
    assert http.get(f"/batches/{text}").json()["id"] != text


def test_output_comes_late(http: httpx.Client, world: World) -> None:
    world.faults.add("late_output", only="list")
    done = next(batch for batch in page(http)["data"] if batch["status"] == "completed")
    assert done["output_file_id"] is None
    assert http.get(f"/batches/{done['id']}").json() != done


def test_status_nobody_knows(clock: Clock) -> None:
    world = World(10, open_positions=[2], clock=clock)
    world.faults.add("strange_status", "in_queue")
    with serve(world) as url, httpx.Client(base_url=url, headers={"Authorization": "Bearer sk-simulator"}) as http:
        assert [n for n, batch in enumerate(page(http)["data"]) if batch["status"] == "in_queue"] == [2]


def test_every_fault_says_what_it_does() -> None:
    for name, kind in FAULTS.items():
        assert kind.says, name
        assert kind.before or kind.after, name
