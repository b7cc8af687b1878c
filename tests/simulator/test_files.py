"""Parts of files, and all that goes wrong with files."""

import gzip
import time

import httpx
import pytest

from dashboard.simulator import KEY, World, serve
from tests.simulator.conftest import Clock


@pytest.fixture
def file(http: httpx.Client) -> str:
    """The address of an error file."""
    batches = http.get("/batches", params={"limit": "100"}).json()["data"]
    return next(
        f"/files/{batch['error_file_id']}/content" for batch in batches if batch["request_counts"]["failed"] > 9
    )


def test_a_part_of_a_file(http: httpx.Client, file: str) -> None:
    whole = http.get(file).content
    for wanted, part in (("5-", whole[5:]), ("0-0", whole[:1]), ("7-19", whole[7:20]), ("5-999999999", whole[5:])):
        answer = http.get(file, headers={"Range": f"bytes={wanted}"})
        first = int(wanted.partition("-")[0])
        assert (answer.status_code, answer.content) == (206, part)
        assert answer.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{len(whole)}"
    past = http.get(file, headers={"Range": f"bytes={len(whole)}-"})
    assert (past.status_code, past.headers["content-range"]) == (416, f"bytes */{len(whole)}")
    assert http.get(file, headers={"Range": "lines=1-2"}).content == whole


def test_a_server_that_gives_no_parts(http: httpx.Client, world: World, file: str) -> None:
    world.faults.add("no_parts")
    assert http.get(file, headers={"Range": "bytes=5-"}).status_code == 200


def test_a_server_that_gives_another_part(http: httpx.Client, world: World, file: str) -> None:
    world.faults.add("wrong_part")
    assert http.get(file, headers={"Range": "bytes=5-9"}).headers["content-range"].startswith("bytes 0-4/")


def test_a_file_that_is_gone(http: httpx.Client, world: World, file: str) -> None:
    world.faults.add("file_gone")
    assert [http.get(path).status_code for path in (file, file.removesuffix("/content"))] == [404, 404]
    assert "No such File object" in http.get(file).json()["error"]["message"]


def test_garbage_between_the_lines(http: httpx.Client, world: World, file: str) -> None:
    good = http.get(file).content.splitlines()
    world.faults.add("garbage_lines", 2)
    lines = http.get(file).content.splitlines()
    assert len(lines) > len(good)
    assert set(good) < set(lines)
    assert http.get(file, headers={"Range": "bytes=9-"}).content == b"\n".join(lines)[9:] + b"\n"


def test_a_line_without_end(http: httpx.Client, world: World, file: str) -> None:
    world.faults.add("long_line", 2)
    assert len(http.get(file).content.splitlines()[0]) == 2_000_000


def test_packed_in_two_ways(http: httpx.Client, world: World, file: str) -> None:
    whole = http.get(file).content
    world.faults.add("packed_answer")
    answer = http.get(file)
    assert (answer.headers["content-encoding"], answer.content) == ("gzip", whole)
    assert "content-encoding" not in http.get(file, headers={"Accept-Encoding": "identity"}).headers
    world.faults.clear()
    world.faults.add("packed_file")
    assert gzip.decompress(http.get(file).content) == whole


def test_a_cut_in_the_middle(http: httpx.Client, world: World, file: str) -> None:
    whole = http.get(file).content
    world.faults.add("cut", 500, count=2)
    ways: list[dict[str, str]] = [{}, {"Range": "bytes=100-"}]
    for wanted in ways:
        came: list[bytes] = []
        with http.stream("GET", file, headers=wanted) as answer, pytest.raises(httpx.RemoteProtocolError):
            came.extend(answer.iter_raw())
        assert b"".join(came) == whole[100 if wanted else 0 :][:500]


def test_a_trickle(http: httpx.Client, world: World, file: str) -> None:
    world.faults.add("trickle", 0.1)
    began = time.monotonic()
    http.get(file)
    assert time.monotonic() - began >= 0.1


def test_a_redirect_to_storage(http: httpx.Client, world: World, file: str) -> None:
    world.faults.add("elsewhere", "http://127.0.0.1:9/blob?sig=1")
    answer = http.get(file)
    assert (answer.status_code, answer.headers["location"]) == (307, "http://127.0.0.1:9/blob?sig=1")


def test_a_long_error_file_says_how_long(clock: Clock) -> None:
    world = World(3, open=0, clock=clock, long_errors=1_234)
    with serve(world) as url, httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}) as http:
        batch = http.get("/batches").json()["data"][0]
        assert batch["request_counts"] == {"total": 1_234, "completed": 0, "failed": 1_234}
        assert http.get(f"/files/{batch['error_file_id']}").json()["bytes"] == 1_234 * 4_096
        lines = http.get(f"/files/{batch['error_file_id']}/content").content.splitlines()
    assert {len(line) for line in lines} == {4_095}
    assert len(set(lines)) == 1_234
