"""Keys, refusals and headers are OpenAI's."""

from typing import Any

import httpx
import pytest

from dashboard.simulator import World


def error(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status
    found: dict[str, Any] = response.json()["error"]
    assert set(found) == {"message", "type", "param", "code"}
    return found


def test_wrong_key_is_refused_and_masked(http: httpx.Client) -> None:
    refused = error(http.get("/batches", headers={"Authorization": "Bearer sk-wrong-and-long-key"}), 401)
    assert refused["code"] == "invalid_api_key"
    assert refused["message"].startswith("Incorrect API key provided: sk-wrong*********-key.")


def test_missing_key_is_refused(http: httpx.Client) -> None:
    assert "didn't provide" in error(http.get("/batches", headers={"Authorization": ""}), 401)["message"]


def test_read_only_key_reads_but_cannot_act(http: httpx.Client) -> None:
    reader = {"Authorization": "Bearer sk-look-but-do-not-touch"}
    first = http.get("/batches", headers=reader).json()["first_id"]
    assert "api.batch.write" in error(http.post(f"/batches/{first}/cancel", headers=reader), 403)["message"]
    assert "api.batch.write" in error(http.post("/batches", json={}, headers=reader), 403)["message"]


@pytest.mark.parametrize("unknown", ["batch_nothing", "batch_" + "7" * 32, "%F0%9F%A6%8A"])
def test_unknown_batch_is_not_found(http: httpx.Client, unknown: str) -> None:
    assert "No batch found with id" in error(http.get(f"/batches/{unknown}"), 404)["message"]
    error(http.post(f"/batches/{unknown}/cancel"), 404)


def test_id_with_another_birthday_is_not_found(http: httpx.Client) -> None:
    first = http.get("/batches").json()["first_id"]
    error(http.get(f"/batches/batch_00000000{first[14:]}"), 404)


@pytest.mark.parametrize(
    ("limit", "code"),
    [("101", "integer_above_max_value"), ("-1", "integer_below_min_value"), ("many", "invalid_type")],
)
def test_limit_out_of_range_is_refused(http: httpx.Client, limit: str, code: str) -> None:
    refused = error(http.get("/batches", params={"limit": limit}), 400)
    assert (refused["code"], refused["param"]) == (code, "limit")


def test_limit_zero_is_tolerated(http: httpx.Client) -> None:
    page = http.get("/batches", params={"limit": 0}).json()
    assert (page["data"], page["first_id"], page["has_more"]) == ([], None, True)


def test_unknown_cursor_is_refused(http: httpx.Client) -> None:
    assert error(http.get("/batches", params={"after": "batch_nothing"}), 400)["param"] == "after"


def test_delete_is_not_allowed(http: httpx.Client) -> None:
    first = http.get("/batches").json()["first_id"]
    error(http.delete(f"/batches/{first}"), 405)
    error(http.delete(f"/batches/{first}/cancel"), 405)


def test_other_addresses_are_not_found(http: httpx.Client) -> None:
    error(http.get("/batch"), 404)


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": None},
        {"endpoint": "/v1/anything"},
        {"completion_window": "12h"},
        {"input_file_id": "file-nothing"},
        {"metadata": {"count": 1}},
        {"metadata": "text"},
    ],
)
def test_create_says_what_is_wrong(http: httpx.Client, wrong: dict[str, Any]) -> None:
    file = http.post("/files", data={"purpose": "batch"}, files={"file": ("a.jsonl", b"{}")}).json()
    right = {"input_file_id": file["id"], "endpoint": "/v1/responses", "completion_window": "24h"}
    refused = error(http.post("/batches", json=right | wrong), 400)
    assert refused["param"] in wrong
    assert http.post("/batches", json=right).status_code == 200


def test_create_refuses_what_is_not_json(http: httpx.Client) -> None:
    error(http.post("/batches", content=b"{"), 400)


def test_upload_needs_a_form(http: httpx.Client) -> None:
    assert error(http.post("/files", content=b"x"), 400)["param"] == "file"


def test_answers_carry_request_id_and_time(http: httpx.Client) -> None:
    one, two = http.get("/batches"), http.get("/batches")
    assert one.headers["x-request-id"] != two.headers["x-request-id"]
    assert int(one.headers["openai-processing-ms"]) >= 0
    assert one.headers["date"] == "Thu, 28 May 2026 20:26:40 GMT"


def test_requests_are_logged(http: httpx.Client, world: World) -> None:
    http.get("/batches?limit=3")
    http.get("/batches/batch_nothing")
    assert list(world.requests) == [
        ("GET", "/v1/batches?limit=3", 200),
        ("GET", "/v1/batches/batch_nothing", 404),
    ]


def test_connection_is_kept_alive_after_refusals(http: httpx.Client, world: World) -> None:
    for _ in range(3):
        response = http.post("/batches", content=b"{" * 1000)
        assert "connection" not in response.headers
    assert len(world.requests) == 3
