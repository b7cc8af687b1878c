"""The world is a function of seed and clock, and as cheap at a million batches as at ten."""

import json
import tracemalloc
from collections import Counter
from time import perf_counter

import pytest

from dashboard.simulator import World
from dashboard.simulator.batches import render, status
from tests.simulator.conftest import START, Clock

FINAL = {"completed", "failed", "expired", "cancelled"}


def board(world: World) -> list[dict[str, object]]:
    """The whole list as a client reads it."""
    lives, more = world.page(None, 1_000_000)
    assert not more
    return [json.loads(render(life, world.now())) for life in lives]


def open_positions(world: World) -> list[int]:
    return [n for n, batch in enumerate(board(world)) if batch["status"] not in FINAL]


def test_same_seed_gives_the_same_batches() -> None:
    assert board(World(300, seed=7, start=START, clock=Clock())) == board(
        World(300, seed=7, start=START, clock=Clock())
    )


def test_another_seed_gives_other_batches() -> None:
    one, other = (board(World(300, seed=seed, clock=Clock())) for seed in (7, 8))
    assert not {batch["id"] for batch in one} & {batch["id"] for batch in other}


@pytest.mark.parametrize("speed", [1.0, 10.0])
def test_board_stays_alive_for_weeks(speed: float) -> None:
    clock = Clock()
    world = World(2_000, speed=speed, open=12, clock=clock)
    for _ in range(10):
        lives, _more = world.page(None, 100)
        opened = [life for life in lives if status(life, clock.at) not in FINAL]
        assert 6 <= len(opened) <= 20
        clock.at += 5 * 86_400


def test_something_moves_every_few_seconds_in_a_demo() -> None:
    clock = Clock()
    world = World(2_000, speed=10, open=12, clock=clock)
    before = ""
    for _ in range(60):
        lives, _more = world.page(None, 100)
        now = "".join(render(life, clock.at) for life in lives)
        assert now != before
        before = now
        clock.at += 5


def test_demo_shows_every_status() -> None:
    assert {batch["status"] for batch in board(World(2_000, speed=10, clock=Clock()))} == FINAL | {
        "validating",
        "in_progress",
        "finalizing",
        "cancelling",
    }


def test_every_batch_walks_only_forward() -> None:
    clock = Clock()
    world = World(200, open=60, clock=clock)
    order = ["validating", "in_progress", "finalizing", "cancelling", *FINAL]
    before: dict[str, dict[str, int | str | None]] = {}
    for _ in range(100):
        for life in world.page(None, 100)[0]:
            batch = json.loads(render(life, clock.at))
            counts, was = batch["request_counts"], before.get(batch["id"])
            assert counts["completed"] + counts["failed"] <= counts["total"]
            assert all(batch[key] is None or batch[key] <= clock.at for key in batch if key.endswith("ed_at"))
            if was:
                assert order.index(batch["status"]) >= order.index(str(was["status"]))
                assert counts["completed"] >= int(was["completed"] or 0)
            before[batch["id"]] = {"status": batch["status"], "completed": counts["completed"]}
        clock.at += 97
    assert len(before) > 100


def test_quiet_world_has_nothing_open_or_just_ended() -> None:
    clock = Clock()
    world = World(3_000, open=0, clock=clock)
    batches = board(world)
    assert {batch["status"] for batch in batches} == FINAL
    ends = [batch[f"{batch['status']}_at"] for batch in batches]
    assert all(isinstance(end, int) and end < clock.at - 1_800 for end in ends)
    clock.at += 90 * 86_400
    assert board(world) == batches


def test_open_positions_stay_open_and_move() -> None:
    clock = Clock()
    world = World(3_000, open_positions=[0, 7, 2_999], clock=clock)
    before = board(world)
    assert open_positions(world) == [0, 7, 2_999]
    clock.at += 60
    after = board(world)
    assert before[7]["request_counts"] != after[7]["request_counts"]
    clock.at += 30 * 86_400
    assert open_positions(world) == [0, 7, 2_999]


def test_past_holds_every_kind_of_ending() -> None:
    endings: Counter[str] = Counter()
    for batch in board(World(3_000, open=0, clock=Clock())):
        counts = batch["request_counts"]
        assert isinstance(counts, dict)
        kind = "some failed" if counts["failed"] else "remainder" if sum(counts.values()) < 2 * counts["total"] else ""
        kind = "all failed" if counts["failed"] == counts["total"] > 0 else kind
        endings[f"{batch['status']} {kind}".strip()] += 1
        assert (batch["output_file_id"] is None) is (counts["completed"] == 0)
    assert set(endings) >= {"completed", "completed some failed", "completed all failed", "failed", "expired remainder"}


def test_million_batches_cost_no_memory() -> None:
    tracemalloc.start()
    try:
        world = World(1_000_000, clock=Clock())
        before = tracemalloc.get_traced_memory()[0]
        cursor = None
        for _ in range(20):
            lives, _more = world.page(cursor, 100)
            cursor = lives[-1]
        assert world.page(world.life(100), 100)[0][-1].number == 0
        assert tracemalloc.get_traced_memory()[0] - before < 1_000_000
    finally:
        tracemalloc.stop()


def test_far_end_of_the_list_is_as_near_as_its_top() -> None:
    world = World(1_000_000, clock=Clock())

    def cost(text: str) -> float:
        def once() -> float:
            began = perf_counter()
            lives, _more = world.page(world.find(text), 100)
            assert len(lives) == 100
            return perf_counter() - began

        return min(once() for _ in range(20))

    near, far = (world.life(number).id for number in (999_900, 150))
    assert cost(far) < 5 * cost(near)


def test_batches_made_by_post_stand_among_those_born() -> None:
    clock = Clock()
    world = World(50, open=12, speed=10, clock=clock)
    source = world.upload("a.jsonl", "batch", b"")
    for _ in range(30):
        world.create(source, "/v1/responses", None)
        clock.at += 17
    whole = [batch["id"] for batch in board(world)]
    created = [batch["created_at"] for batch in board(world)]
    assert created == sorted(created, key=lambda at: -int(str(at)))
    assert len(set(whole)) == len(whole) > 85
    # Wherever a page begins, it goes on where the whole list does.
    for place, text in enumerate(whole):
        assert [life.id for life in world.page(world.find(str(text)), 5)[0]] == whole[place + 1 : place + 6]
