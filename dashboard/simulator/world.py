"""The world: which batches exist at a moment, derived from a seed and a clock.

A batch that nobody touched is computed from its number whenever somebody asks, so a million of them cost no memory.
Only what the API changed (created, cancelled, uploaded) is kept.
"""

import time
import zlib
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from itertools import accumulate
from threading import Event, Lock
from typing import NamedTuple

import msgspec

from dashboard.simulator.batches import DAY, NEVER, Life
from dashboard.simulator.files import Upload, check
from dashboard.simulator.ids import CREATED, batch_id, encode, file_id, mix, read_batch_id
from dashboard.simulator.jobs import INVALID, JOBS, REFUSALS, SERVER, Job, invalid
from dashboard.simulator.switches import Faults

KEY = "sk-simulator"

# Seconds, before `speed` divides them: shortest and longest. A life takes about LIFE_MEAN, never more than LIFE_MAX.
_CHECK, _WORK, _WRAP, _CANCEL = (240, 720), (1_500, 5_000), (480, 1_200), (240, 2_700)
_CHECK_STEP, _WORK_STEP, _WRAP_STEP = ((most - least) / 0x3FF for least, most in (_CHECK, _WORK, _WRAP))
_LIFE_MEAN = sum(_CHECK + _WORK + _WRAP) / 2
_LIFE_MAX = _CHECK[1] + _WORK[1] + _WRAP[1] + _CANCEL[1]

# Of 10,000 batches: how many expire, fail the check, are cancelled, fail every request, fail some.
_PAST = (120, 350, 250, 80, 1_200)
_LIVE = (0, 800, 0, 300, 2_500)

# An expired batch takes up to this long after its creation; a quiet world ends earlier than this before its start.
_LONGEST = DAY + 1_800


class Call(NamedTuple):
    """One request that was answered, as the log keeps it."""

    method: str
    path: str  # with its query string
    status: int


class World:
    """The state behind the server.

    batches: how many exist at the start. seed: which ones. speed: how many times faster than OpenAI open ones move;
    times stay the clock's own, lives are shorter. start: Unix seconds at which the world begins, now by default.
    open: about how many are open at any moment, because new ones keep being born; 0 for a quiet world in which
    nothing is open, born, or ended less than an hour ago. open_positions: a quiet world but for the batches at these
    places of the list (0 is the newest), which stay in progress. failing: share of the requests of an uploaded file
    that fail, beside those whose custom_id begins with "fail". long_errors: the newest batch of a quiet world has
    failed in all of so many requests, at 4,096 bytes each.
    """

    def __init__(
        self,
        batches: int = 2_000,
        *,
        seed: int = 1,
        speed: float = 1.0,
        start: float | None = None,
        clock: Callable[[], float] = time.time,
        open: int = 12,  # noqa: A002 - what the field calls them
        open_positions: Collection[int] = (),
        failing: float = 0.03,
        long_errors: int = 0,
        api_keys: Collection[str] = (KEY,),
        read_only_keys: Collection[str] = (),
    ) -> None:
        self.now = clock
        self.start = clock() if start is None else start
        self.seed, self.speed, self.failing = seed, speed, failing
        self.api_keys, self.read_only_keys = frozenset(api_keys), frozenset(read_only_keys)
        self.faults = Faults()
        self.requests: deque[Call] = deque(maxlen=10_000)
        self.closing = Event()  # set when the server stops, so that hanging answers end
        self.retrieved: dict[str, float] = {}  # when each batch was last retrieved, for the fault `stale_list`
        self.key = mix(seed) << 32 | mix(seed + 1) >> 32
        self.uploads: list[Upload] = []
        self._changed: dict[int, Life] = {}
        self._made: list[Life] = []
        self._made_at: list[float] = []
        self._lock = Lock()

        lively = open > 0 and not open_positions
        self._size = batches
        self._long, self._long_errors = (batches - 1 if long_errors else -1), long_errors
        self._held = {batches - 1 - position for position in open_positions}
        self._birth_gap = _LIFE_MEAN / speed / open if lively else NEVER
        # The last few of the past already come at the pace of births, so that `open` are open at the start.
        self._past = max(0, batches - 3 * open) if lively else batches
        self._live_from = (
            self.start - (batches - self._past) * self._birth_gap if lively else self.start - _LONGEST - 3_600
        )
        self._past_ends = self._live_from if lively else self.start - 3_600
        self._gap = min(900.0, 2 * 365 * DAY / max(1, batches))
        # A stalled batch stays for a day however fast the world is; about two of them are always there.
        stalling = max(1, round(20_000 * self._birth_gap / DAY)) if lively else 0
        self._past_plans, self._live_plans = (tuple(accumulate(s)) for s in (_PAST, (stalling, *_LIVE[1:])))
        # One stalled since ten hours, whatever the seed says.
        self._stalled = self._past - max(1, int(36_000 / self._gap)) if lively else -1

    def count(self, now: float | None = None) -> int:
        """How many batches have been born by a moment, those made by POST not counted."""
        if self._birth_gap == NEVER:
            return self._size
        now = self.now() if now is None else now
        number = self._past + int((now - self._live_from) / self._birth_gap)
        return number + (self._born(number) <= now)

    def _born(self, number: int) -> float:
        """When a derived batch is born; never later than the next one."""
        jitter = 0.1 + (number * 0x9E3779B1 & 0xFFFF) / 0x14000
        if number >= self._past:
            return self._live_from + (number - self._past + jitter) * self._birth_gap
        return self._live_from - (self._past - number - jitter) * self._gap

    def life(self, number: int) -> Life:
        """The batch of a number, however long ago or far ahead it lives."""
        if self._changed and number in self._changed:
            return self._changed[number]
        # This runs a hundred times for every page: all choices come from the bits of one hash.
        chance = mix(number + self.seed * 0x51_7C_C1_B7)
        code = encode(number, self.key)
        born = self._born(number)
        live = number >= self._past
        # What is of the past must have ended by then, except for the few that stall for a day.
        pace = self.speed if live else max(1.0, _LIFE_MAX / (self._past_ends - born))
        job = JOBS[(chance & 0xFF) * len(JOBS) >> 8]
        total = min(50_000, max(1, job.size * (512 + (chance >> 8 & 0x3FF)) >> 10))
        begins, work, wrap = self._spans(chance, born, pace)
        wraps = begins + work
        expire, fail, cancel, all_fail, some_fail = self._live_plans if live else self._past_plans
        plan = (chance >> 48) * 10_000 >> 16
        if number == self._stalled:
            plan = 0
        elif live and number % 7 == 0:
            # Being cancelled is soon over; only at a steady rhythm does a board always show one.
            plan, cancel = fail, fail + 1
        created_at = int(born)
        life = Life(
            number, batch_id(code, created_at), code, created_at, job, job.metadata_of_run(number // 24 + 1), total, 0,
            begins, wraps, NEVER, wraps + wrap, "completed", work,
        )  # fmt: skip
        if number in self._held:
            life.begins = max(begins, self.start - 3_600)
            life.total, life.span, life.wraps, life.ends = 50_000, 5 * DAY, NEVER, NEVER
        elif number == self._long:
            life.job = replace(job, refusals=REFUSALS)
            life.total = life.failing = self._long_errors
            life.line_bytes = 4_096
        elif plan >= some_fail:
            pass  # all goes well
        elif plan < expire:
            life.end, life.wraps, life.share = "expired", NEVER, 0.3 + (chance >> 40 & 0xFF) / 400
            life.ends = created_at + DAY + (chance >> 30 & 0x3FF)
        elif plan < fail:
            life.end, life.wraps, life.ends = "failed", NEVER, begins
            life.errors = _failed_check(chance, total)
        elif plan < cancel:
            life.end, life.wraps, life.stops = "cancelled", NEVER, begins + work * (0.1 + (chance >> 40 & 0xFF) / 300)
            life.ends = life.stops + (_CANCEL[1] if live else _CANCEL[0] + (chance >> 20 & 0xFF)) / pace
        elif plan < all_fail:
            life.failing = total
        else:
            life.failing = max(1, total * (chance >> 40 & 0xFF) ** 2 >> 18)
        return life

    def _spans(self, chance: int, born: float, pace: float) -> tuple[float, float, float]:
        """When the check is over (Unix seconds), how long the work and the finalizing take (seconds)."""
        check_for = _CHECK[0] + _CHECK_STEP * (chance >> 18 & 0x3FF)
        work = _WORK[0] + _WORK_STEP * (chance >> 28 & 0x3FF)
        wrap = _WRAP[0] + _WRAP_STEP * (chance >> 38 & 0x3FF)
        return born + check_for / pace, work / pace, wrap / pace

    def find(self, text: str) -> Life | None:
        """The batch of an id, if it exists by now."""
        number = read_batch_id(text, self.key)
        if number is None:
            return None
        life = self.numbered(number)
        return life if life and life.id == text else None

    def numbered(self, number: int) -> Life | None:
        """The batch of a number, if it exists by now."""
        if number >= CREATED:
            return self._made[number - CREATED] if number - CREATED < len(self._made) else None
        return self.life(number) if number < self.count() else None

    def page(self, after: Life | None, limit: int) -> tuple[list[Life], bool]:
        """The next `limit` batches older than `after`, newest first, and whether there are more."""
        if after is None:
            derived, made = self.count() - 1, len(self._made) - 1
        elif after.number >= CREATED:
            made = after.number - CREATED - 1
            derived = self.count(self._made_at[made + 1]) - 1
        else:
            derived, made = after.number - 1, bisect_left(self._made_at, self._born(after.number)) - 1
        lives: list[Life] = []
        while len(lives) < limit and (derived >= 0 or made >= 0):
            if made >= 0 and (derived < 0 or self._made_at[made] >= self._born(derived)):
                lives.append(self._made[made])
                made -= 1
            else:
                lives.append(self.life(derived))
                derived -= 1
        return lives, derived >= 0 or made >= 0

    def page_upwards(self, after: Life | None, limit: int) -> tuple[list[Life], bool]:
        """The next `limit` batches newer than `after`, oldest first, and whether there are more."""
        if after is None:
            derived, made = 0, 0
        elif after.number >= CREATED:
            made = after.number - CREATED + 1
            derived = self.count(self._made_at[made - 1])
        else:
            derived, made = after.number + 1, bisect_left(self._made_at, self._born(after.number))
        lives: list[Life] = []
        born = self.count()
        while len(lives) < limit and (derived < born or made < len(self._made)):
            if derived < born and (made == len(self._made) or self._born(derived) <= self._made_at[made]):
                lives.append(self.life(derived))
                derived += 1
            else:
                lives.append(self._made[made])
                made += 1
        return lives, derived < born or made < len(self._made)

    def upload(self, filename: str, purpose: str, content: bytes) -> Upload:
        """Keeps an uploaded file."""
        with self._lock:
            text = file_id(encode(len(self.uploads), self.key), "upload")
            made = Upload(text, len(self.uploads), filename, purpose, content, int(self.now()))
            self.uploads.append(made)
        return made

    def create(self, source: Upload, endpoint: str, metadata: Mapping[str, str] | None) -> Life:
        """Makes a batch of an uploaded file and lets it run.

        Metadata `simulate` chooses an unusual life: "expired" stalls and expires after a day (divided by the speed),
        "stalled" never ends.
        """
        custom_ids, model, errors = check(source.content, endpoint)
        with self._lock:
            number = CREATED + len(self._made)
            now = max([self.now(), *self._made_at[-1:]])
            code = encode(number, self.key)
            begins, work, wrap = self._spans(mix(number + self.seed), now, self.speed)
            fails = [n for n, custom_id in enumerate(custom_ids) if self._fails(custom_id)]
            life = Life(
                number, batch_id(code, int(now)), code, int(now),
                Job("posted", endpoint, model, len(custom_ids), refusals=(SERVER,)),
                msgspec.json.encode(metadata).decode(), len(custom_ids), len(fails),
                begins, begins + work, NEVER, begins + work + wrap, "completed", work,
                input_file_id=source.id, custom_ids=custom_ids, failing_numbers=fails,
            )  # fmt: skip
            wish = (metadata or {}).get("simulate")
            if errors:
                life.end, life.wraps, life.ends = "failed", NEVER, begins
                life.errors = msgspec.json.encode({"object": "list", "data": errors}).decode()
            elif wish in ("expired", "stalled"):
                life.end, life.wraps, life.share = "expired", NEVER, 0.6
                life.ends = now + DAY / self.speed if wish == "expired" else NEVER
            self._made.append(life)
            self._made_at.append(now)
        return life

    def _fails(self, custom_id: str) -> bool:
        return custom_id.startswith("fail") or zlib.crc32(custom_id.encode()) % 10_000 < self.failing * 10_000

    def cancel(self, life: Life) -> Life:
        """Stops an open batch; one that is already finalizing loses nothing and still completes."""
        with self._lock:
            now = self.now()
            if now >= life.stops or now >= life.ends:
                return life
            if now >= life.wraps:
                stopped = replace(life, stops=now)
            else:
                stopped = replace(life, stops=now, ends=now + _CANCEL[0] / self.speed, end="cancelled", errors="null")
            if life.number >= CREATED:
                self._made[life.number - CREATED] = stopped
            else:
                self._changed[life.number] = stopped
        return stopped


def _failed_check(chance: int, total: int) -> str:
    kind = (chance >> 40) % len(INVALID)
    lines = sorted({1 + (chance >> shift) % total for shift in (5, 15, 25)}) if INVALID[kind][3] else [1]
    data = [invalid(kind, line) for line in lines[: 1 + (chance & 3)]]
    return msgspec.json.encode({"object": "list", "data": data}).decode()
