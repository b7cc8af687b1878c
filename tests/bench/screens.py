"""The client of the walls, in a process of its own: one screen beside an empty page, and a crowd of them.

Reads what to ask as JSON from stdin.
"""

import asyncio
import json
import random
import re
import sys
import time
from typing import Any

from tests.bench.driver import Talk, written
from tests.bench.figures import Wrong, must_be

SEEN = re.compile(rb'data-seen="([^"]+)"')


def seen_in(body: bytes) -> str:
    found = SEEN.search(body)
    if found is None:
        raise Wrong(f"a board without a token: {body[:300]!r}")
    return found[1].decode()


def compare(port: int, token: str, rounds: int, blocks: int, block: int) -> dict[str, Any]:
    """Seconds a request, by round."""
    talk, wall = Talk(port), f"/wall/{token}/"
    empty = written("/bench/empty/", port)

    def polling() -> bytes:
        seen = seen_in(talk.ask(written(wall, port), b"200"))
        return written(f"{wall}?seen={seen}", port, htmx=True)

    # The 204 is no constant: another token of the board, and another of the link, get something else.
    talk.ask(written(f"{wall}?seen=1.0-p0", port, htmx=True), b"200")
    talk.ask(written(f"/wall/{token[:-1]}/?seen=1.0-p0", port, htmx=True), b"404")
    must_be("the body of the empty view", talk.ask(empty, b"200"), b"")
    for _ in range(300):
        talk.ask(empty, b"200")
    seconds: dict[str, list[float]] = {"poll": [], "empty": []}
    for _ in range(rounds):
        spent = dict.fromkeys(seconds, 0.0)
        for _ in range(blocks):
            # A board's token also moves with the minute: then this block is asked again.
            while True:
                request = polling()
                try:
                    took = talk.timed([request] * block, b"204")
                except Wrong:
                    talk = Talk(port)
                    continue
                break
            spent["poll"] += took
            spent["empty"] += talk.timed([empty] * block, b"200")
        for name in seconds:
            seconds[name].append(spent[name] / (blocks * block))
    return seconds


class Crowd:
    """Screens that each hold their own line and poll as static/wall.js does."""

    def __init__(self, port: int, lasts: float, every: float) -> None:
        self.port, self.every = port, every
        self.until = time.perf_counter() + lasts
        self.seconds: list[float] = []
        self.errors = self.boards = 0

    async def screen(self, token: str, chance: random.Random) -> None:
        await asyncio.sleep(chance.random() * self.every)
        seen, line = "0", None
        while time.perf_counter() < self.until:
            began = time.perf_counter()
            try:
                line = line or await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
                status, body = await asyncio.wait_for(self.ask(line, f"/wall/{token}/?seen={seen}"), 10)
                self.seconds.append(time.perf_counter() - began)
                if status == 200:
                    seen, self.boards = seen_in(body), self.boards + 1
                elif status != 204:
                    raise Wrong(f"{status}")
            except (OSError, EOFError, TimeoutError, ValueError, Wrong) as error:
                self.errors, line = self.errors + 1, None
                print(f"{type(error).__name__} {error}", file=sys.stderr)
            await asyncio.sleep(self.every * chance.uniform(0.8, 1.2))

    async def ask(self, line: tuple[asyncio.StreamReader, asyncio.StreamWriter], path: str) -> tuple[int, bytes]:
        reader, writer = line
        writer.write(written(path, self.port, htmx=True))
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        return status, await reader.readexactly(int(length[1]) if length and status != 204 else 0)


async def crowd(port: int, tokens: list[str], screens: int, every: float, lasts: float) -> dict[str, Any]:
    people = Crowd(port, lasts, every)
    await asyncio.gather(*(people.screen(tokens[n % len(tokens)], random.Random(n)) for n in range(screens)))
    return {"seconds": people.seconds, "errors": people.errors, "boards": people.boards}


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    print(json.dumps(compare(**asked) if sys.argv[1] == "compare" else asyncio.run(crowd(**asked))))
