"""An hour of a wall in a real Chromium, at twenty times the speed, with everything going wrong on the way."""

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.bench.browser import chromium
from tests.bench.figures import Row, Wrong, must_be
from tests.bench.processes import answer_of, environment, free_port, python, say, started, wait_for

SPEED, STEP = 20, 1_000  # milliseconds of the page's time at once
BACK, GROWTH = 15.0, 20.0  # seconds of the page's time, MB
IS_RIGHT = "!document.body.classList.contains('is-cut') && document.querySelector('[data-seen]') !== null"


class Server:
    """The web server, to be ended and started again at the same port, also as another version."""

    def __init__(self, data: Path) -> None:
        self.data, self.port, self.build, self.stack = data, free_port(), "one", ExitStack()

    def start(self) -> None:
        log = self.data / "hour.log"
        env = environment(self.data, DASHBOARD_BUILD=self.build)
        web = self.stack.enter_context(started(python("tests.bench.serving", self.port, 1), env, log))
        wait_for(f"http://127.0.0.1:{self.port}/healthz", web, log)

    def stop(self) -> None:
        self.stack.close()


class Hour:
    """A page whose clock we turn."""

    def __init__(self, page: Any, server: Server) -> None:
        self.page, self.server = page, server
        self.went: list[str] = []  # where it navigated
        self.late: list[float] = []  # seconds until it was right again
        self.turned = 0.0  # seconds of the page's time
        self.began = time.monotonic()
        page.on("framenavigated", lambda frame: self.went.append(frame.url))

    def turn(self, seconds: float, until: Callable[[], bool] | None = None) -> float:
        """Lets so much of the page's time pass, never faster than SPEED; less when `until` comes true."""
        passed = 0.0
        while passed < seconds:
            self.page.clock.run_for(STEP)
            passed += STEP / 1000
            self.turned += STEP / 1000
            self.page.wait_for_timeout(max(1.0, STEP / SPEED - 5))
            if until and until():
                break
        return passed

    def is_right(self) -> bool:
        return bool(self.page.evaluate(IS_RIGHT))

    def gone(self, away: float, back: Callable[[], None]) -> None:
        """Nobody answers for so long; then, from its return, how long until the board is right."""
        self.turn(away)
        must_be(f"whether the wall says after {away:.0f} s that nobody answers", self.is_right(), False)
        if not self.page.evaluate("document.querySelector('[data-seen]') !== null"):
            raise Wrong("the last good board is gone")
        back()
        self.late.append(self.turn(60, self.is_right))

    def restart(self, away: float) -> None:
        self.server.stop()
        self.gone(away, self.server.start)

    def lose_network(self, away: float) -> None:
        self.page.context.set_offline(True)
        self.gone(away, lambda: self.page.context.set_offline(False))

    def jump(self, hours: int) -> None:
        """Somebody sets the clock of the machine."""
        self.page.clock.set_system_time(self.page.evaluate("Date.now()") / 1000 + hours * 3600)
        self.late.append(self.turn(60, self.is_right))
        self.turn(30)
        must_be("whether a clock that was set cuts a wall off", self.is_right(), True)

    def deploy(self) -> None:
        before = len(self.went)
        self.server.stop()
        self.turn(30)
        self.server.build += "+"
        self.server.start()
        self.late.append(self.turn(60, self.is_right))
        self.turn(90)
        must_be("reloads after a deploy", len(self.went) - before, 1)

    def heap(self, tools: Any) -> float:
        for _ in range(3):
            tools.send("HeapProfiler.collectGarbage")
        return float(tools.send("Runtime.getHeapUsage")["usedSize"]) / 1e6


def row(data: Path, token: str, minutes: int) -> Row:
    server = Server(data)
    with chromium() as browser, ExitStack() as ending:
        ending.callback(server.stop)
        server.start()
        context = ending.enter_context(browser.new_context(viewport={"width": 1920, "height": 1080}, timezone_id="UTC"))
        page = context.new_page()
        page.clock.install()
        address = f"http://127.0.0.1:{server.port}/wall/{token}/"
        page.goto(address)
        tools = context.new_cdp_session(page)
        watched = Hour(page, server)
        watched.turn(60, None)
        before = watched.heap(tools)
        say(f"walls: {minutes} min at {SPEED}x, heap {before:.1f} MB")
        troubles: list[Callable[[], object]] = [
            lambda: watched.restart(90),
            lambda: watched.lose_network(60),
            lambda: watched.jump(+5),
            lambda: watched.restart(600 if minutes >= 60 else 60),
            watched.deploy,
            lambda: watched.jump(-7),
            lambda: watched.lose_network(240 if minutes >= 60 else 60),
        ]
        each = minutes * 60 / len(troubles)
        for n, trouble in enumerate(troubles):
            trouble()
            answer_of(python("tests.bench.browser", "move"), environment(data), 60)
            watched.turn(max(30.0, each * (n + 1) - watched.turned))
            must_be("whether the wall is right between two troubles", watched.is_right(), True)
        grown = watched.heap(tools) - before
        speed = watched.turned / (time.monotonic() - watched.began)
        must_be("addresses that the wall went to", set(watched.went), {address})
    say(f"walls: {watched.turned:.0f} s at {speed:.0f}x, back after {watched.late}, heap {grown:+.1f} MB")
    slowest = max(watched.late)
    lasted = "an hour" if minutes >= 60 else f"only {minutes} min (--quick)"
    return Row(
        f"a wall left open in Chromium for {lasted} at {speed:.0f} x speed, with two server restarts, a deploy, two "
        "clock jumps and two losses of the network: navigations but the one of the deploy, longest time until it was "
        "right again, growth of the heap",
        f"{len(watched.went) - 1}, {slowest:.1f} s, {grown:+.1f} MB",
        f"{min(watched.late):.1f} .. {slowest:.1f} s",
        f"0, ≤ {BACK:g} s, ≤ {GROWTH:g} MB",
        len(watched.went) == 1 and slowest <= BACK and grown <= GROWTH,
    )
