"""A batch's course placed for a drawing: completed and failed over time in SVG's own units, with what was never seen.

Lines are steps, because between two readings nothing was seen to change. Where nothing was synced there is no line.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from dashboard.insight.charts import Tick, per_cent, y_ticks
from dashboard.insight.outcome import count

HEIGHT, HEADROOM = 196, 16
WIDTH = 1000  # units of the part that stretches
COLUMNS, LABELS = 72, 7
# A plot up to the deadline is worth its room when so much of it is drawn.
WORTH = 0.25
NEAR, NEAR_ON_PHONES = 0.1, 0.28  # of the width: two texts on the axis that stand nearer run into each other
LEAST = 0.02  # of the width; a dot at the end of a gap is no course
MINUTES = (1, 2, 5, 10, 15, 20, 30, 60, 120, 180, 240, 360, 720, 1440)
SPANS = (10, 20, 30, 60, 120, 180, 240, 360, 480, 720, 960, 1440, 2160, 2880)
DAY = 86_400

type Gap = tuple[datetime, datetime]
type Clock = Callable[[datetime], str]


@dataclass(frozen=True, slots=True)
class Sample:
    """The counts from a moment on."""

    at: datetime
    completed: int
    failed: int
    total: int


@dataclass(frozen=True, slots=True)
class Piece:
    """What is drawn between two gaps: the points of two lines and of the area below the first."""

    done: str
    failed: str
    area: str


@dataclass(frozen=True, slots=True)
class Band:
    x: str
    width: str
    words: str


@dataclass(frozen=True, slots=True)
class Moment:
    """What shows under the pointer; without `done_y` nothing was synced then."""

    at: datetime
    x: str
    room_x: str
    room: str
    words: str
    done_y: str
    failed_y: str
    values: tuple[int | None, int | None, int | None]  # completed, failed, left


@dataclass(frozen=True, slots=True)
class Curve:
    pieces: tuple[Piece, ...]
    gaps: tuple[Band, ...]
    moments: tuple[Moment, ...]
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    y_width: int
    has_failed: bool
    deadline: Tick | None  # where it is on the plot
    pace: str  # the end of the line from nothing to all at the deadline, as "x,y"; empty when there is none
    until: Tick | None  # how far it is known
    height: int = HEIGHT
    width: int = WIDTH


def curve(
    samples: Sequence[Sample],
    *,
    start: datetime,
    until: datetime,
    clock: Clock,
    gaps: Iterable[Gap] = (),
    deadline: datetime | None = None,
) -> Curve | None:
    """From `start` on, known as far as `until`; samples in order of time. None when there is nothing to draw."""
    samples = [sample for sample in samples if sample.at <= until]
    if not samples or not any(sample.total for sample in samples):
        return None
    start = min(start, samples[0].at)
    until = max(until, start + timedelta(seconds=1))
    end, due = _domain(start, until, deadline)
    place = _Place(start, end, max(max(one.total, one.completed, one.failed) for one in samples))
    missing = _clipped([*([(start, samples[0].at)]), *gaps], start, end)
    missing = [gap for gap in missing if place.share(gap[1]) - place.share(gap[0]) > 0.004]
    seen = _seen(missing, samples[0].at, until)
    if sum(place.share(over) - place.share(begin) for begin, over in seen) < LEAST:
        return None
    return Curve(
        pieces=tuple(_piece(place, samples, *span) for span in seen),
        gaps=tuple(_band(place, gap, clock) for gap in missing),
        moments=tuple(_moments(place, samples, missing, until, place.step(), clock)),
        y_ticks=y_ticks(place.top, "", HEIGHT, HEADROOM),
        x_ticks=_x_ticks(place, due),
        y_width=8 + 7 * len(count(place.top)),
        has_failed=any(sample.failed for sample in samples),
        deadline=Tick(place.x(due), clock(due)) if due else None,
        pace=_pace(place, deadline, samples[-1].total),
        until=Tick(place.x(until), clock(until)),
    )


def _domain(start: datetime, until: datetime, deadline: datetime | None) -> tuple[datetime, datetime | None]:
    """Where the plot ends, and the deadline if it is on it. Round spans, so that a poll moves nothing."""
    lasted = until - start
    if deadline and deadline > start and lasted >= WORTH * (deadline - start):
        return max(deadline, until), deadline
    minutes = lasted.total_seconds() / 60 * 1.1
    span = next((span for span in SPANS if span >= minutes), ceil(minutes / 1440) * 1440)
    end = start + timedelta(minutes=span)
    return end, deadline if deadline and start < deadline <= end else None


@dataclass(frozen=True, slots=True)
class _Place:
    start: datetime
    end: datetime
    top: int

    def share(self, at: datetime) -> float:
        return min(1.0, max(0.0, (at - self.start) / (self.end - self.start)))

    def x(self, at: datetime) -> str:
        return per_cent(100 * self.share(at))

    def y(self, value: int) -> float:
        return HEIGHT - (HEIGHT - HEADROOM) * min(1.0, value / self.top)

    def failed_y(self, value: int) -> float:
        """A failure is never too few to be seen above the axis."""
        return min(self.y(value), HEIGHT - 2.5) if value else float(HEIGHT)

    def point(self, at: datetime, y: float) -> str:
        return f"{WIDTH * self.share(at):.1f},{y:.1f}"

    def step(self) -> timedelta:
        return _round_step(self.end - self.start, COLUMNS)


def _round_step(whole: timedelta, parts: int) -> timedelta:
    seconds = whole.total_seconds() / parts
    return timedelta(seconds=next((60 * m for m in MINUTES if 60 * m >= seconds), DAY * ceil(seconds / DAY)))


def _clipped(gaps: Iterable[Gap], start: datetime, end: datetime) -> list[Gap]:
    """In order, within the plot, and those that touch as one."""
    found: list[Gap] = []
    for begin, over in sorted((max(begin, start), min(over, end)) for begin, over in gaps):
        if over <= begin:
            continue
        if found and begin <= found[-1][1]:
            found[-1] = (found[-1][0], max(over, found[-1][1]))
        else:
            found.append((begin, over))
    return found


def _seen(missing: Sequence[Gap], first: datetime, until: datetime) -> list[Gap]:
    """The spans between the gaps."""
    spans, at = [], first
    for begin, over in missing:
        if begin > at:
            spans.append((at, min(begin, until)))
        at = max(at, over)
    if at < until:
        spans.append((at, until))
    return [(begin, over) for begin, over in spans if over > begin]


def _value_at(samples: Sequence[Sample], at: datetime) -> Sample:
    return next((sample for sample in reversed(samples) if sample.at <= at), samples[0])


def _piece(place: _Place, samples: Sequence[Sample], begin: datetime, over: datetime) -> Piece:
    last = _value_at(samples, begin)
    done, failed = [place.point(begin, place.y(last.completed))], [place.point(begin, place.failed_y(last.failed))]
    for sample in samples:
        if not begin < sample.at <= over:
            continue
        done += [place.point(sample.at, place.y(value)) for value in (last.completed, sample.completed)]
        failed += [place.point(sample.at, place.failed_y(value)) for value in (last.failed, sample.failed)]
        last = sample
    done.append(place.point(over, place.y(last.completed)))
    failed.append(place.point(over, place.failed_y(last.failed)))
    floor = [place.point(over, HEIGHT), place.point(begin, HEIGHT)]
    return Piece(" ".join(done), " ".join(failed), " ".join([*done, *floor]))


def _band(place: _Place, gap: Gap, clock: Clock) -> Band:
    begin, over = gap
    width = 100 * (place.share(over) - place.share(begin))
    words = _("nothing was synced from %(begin)s to %(end)s") % {"begin": clock(begin), "end": clock(over)}
    return Band(place.x(begin), per_cent(width), words)


def _moments(
    place: _Place, samples: Sequence[Sample], missing: Sequence[Gap], until: datetime, step: timedelta, clock: Clock
) -> list[Moment]:
    """At round times, which stay where they are while the batch goes on; the last is how far it is known."""
    seconds = int(step.total_seconds())
    first = ceil(samples[0].at.timestamp() / seconds) * seconds
    at = samples[0].at + timedelta(seconds=first - samples[0].at.timestamp())
    times = [samples[0].at]
    while at < until:
        if at > times[-1]:
            times.append(at)
        at += step
    if times[-1] < until:
        times.append(until)
    shares = [place.share(at) for at in times]
    found = []
    for i, (at, share) in enumerate(zip(times, shares, strict=True)):
        left = (shares[i - 1] + share) / 2 if i else 0.0
        right = (share + shares[i + 1]) / 2 if i + 1 < len(shares) else 1.0
        sample = _value_at(samples, at)
        is_seen = not any(begin < at < over for begin, over in missing)
        values = (sample.completed, sample.failed, max(0, sample.total - sample.completed - sample.failed))
        found.append(
            Moment(
                at=at,
                x=per_cent(100 * share),
                room_x=per_cent(100 * left),
                room=per_cent(100 * (right - left)),
                words=f"{clock(at)} · {_said(values) if is_seen else _('not synced')}",
                done_y=f"{place.y(sample.completed):.1f}" if is_seen else "",
                failed_y=f"{place.failed_y(sample.failed):.1f}" if is_seen and sample.failed else "",
                values=values if is_seen else (None, None, None),
            )
        )
    return found


def _said(values: tuple[int, int, int]) -> str:
    done, failed, left = values
    return _("%(done)s completed, %(failed)s failed, %(left)s left") % {
        "done": count(done),
        "failed": count(failed),
        "left": count(left),
    }


def _pace(place: _Place, deadline: datetime | None, total: int) -> str:
    """An even pace from the start to all requests at the deadline, as far as the plot goes."""
    if not deadline or deadline <= place.start or not total:
        return ""
    reached = min(1.0, (place.end - place.start) / (deadline - place.start))
    return place.point(min(deadline, place.end), place.y(int(total * reached)))


def _x_ticks(place: _Place, due: datetime | None) -> tuple[Tick, ...]:
    """Round times in the person's zone; the day where it begins. None so near the deadline's own that they collide."""
    step = _round_step(place.end - place.start, LABELS)
    midnight = timezone.localtime(place.start).replace(hour=0, minute=0, second=0, microsecond=0)
    at = midnight + step * ceil((place.start - midnight) / step)
    ticks: list[Tick] = []
    while at <= place.end:
        share = place.share(at)
        if not (due and abs(share - place.share(due)) < NEAR):
            local = timezone.localtime(at)
            is_day = not (local.hour or local.minute)
            words = date_format(local, _("j M")) if is_day else local.isoformat()[11:16]
            is_tight = bool(due and abs(share - place.share(due)) < NEAR_ON_PHONES)
            ticks.append(Tick(per_cent(100 * share), words, is_optional=is_tight or bool(len(ticks) % 2)))
        at += step
    return tuple(ticks)
