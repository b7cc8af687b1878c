"""One batch: how its life goes, and how it looks at any moment of it."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from dashboard.simulator.ids import file_id
from dashboard.simulator.jobs import Job

NEVER = float("inf")
DAY = 86_400


@dataclass(slots=True)
class Life:
    """The whole life of a batch, told in advance. All times are Unix seconds.

    Nothing here changes as time passes: `render` looks at it from a moment. A cancel rewrites the part still to come.
    """

    number: int
    id: str
    code: int  # of which the ids of its files are made
    created_at: int
    job: Job
    metadata: str  # as JSON
    total: int  # requests
    failing: int  # how many of them will fail
    begins: float  # in_progress_at: the check of the input file is over
    wraps: float  # finalizing_at
    stops: float  # cancelling_at
    ends: float
    end: str  # the status it ends with
    span: float  # seconds that the work takes once begun
    share: float = 1.0  # how much of the work gets done; less than 1 for one that stalls
    errors: str = "null"  # of the check, as JSON
    input_file_id: str = ""
    custom_ids: Sequence[str] | None = None  # only of a batch made by POST
    failing_numbers: Sequence[int] | None = None  # likewise: which of its requests fail, ascending
    line_bytes: int = 0  # every line of its error file is as long; 0 is as it comes


def status(life: Life, now: float) -> str:
    """The status at a moment."""
    if now >= life.ends:
        return life.end
    if now >= life.stops:
        return "cancelling"
    if now >= life.wraps:
        return "finalizing"
    return "in_progress" if now >= life.begins else "validating"


def processed(life: Life, now: float) -> int:
    """How many requests have been tried at a moment, whether they succeeded or failed."""
    at = min(now, life.stops)
    if at < life.begins or life.end == "failed":
        return 0
    if at >= life.wraps:
        return life.total
    return int(life.total * life.share * min(1.0, (at - life.begins) / life.span))


def failures(life: Life, done: int) -> int:
    """How many of the first `done` requests failed. Derived batches spread their failures evenly."""
    if life.failing_numbers is not None:
        return bisect_left(life.failing_numbers, done)
    return done * life.failing // life.total if life.total else 0


def render(life: Life, now: float) -> str:
    """The batch object as JSON. Lists and single answers share it, so they cannot differ."""
    state = status(life, now)
    done = processed(life, now)
    failed = failures(life, done)
    completed = done - failed
    over = now >= life.ends
    seen = min(now, life.stops)
    checked = seen >= life.begins and life.end != "failed"
    job = life.job
    ended = int(life.ends) if over else 0
    output = error = model = "null"
    if checked:
        model = f'"{job.model}"'
    if over and life.end != "failed":
        if completed:
            output = f'"{file_id(life.code, "output")}"'
        if failed or done < life.total:
            error = f'"{file_id(life.code, "error")}"'
    read, written, cached, reasoning = job.tokens
    return (
        f'{{"id":"{life.id}","object":"batch","endpoint":"{job.endpoint}","model":{model},'
        f'"errors":{life.errors if over else "null"},'
        f'"input_file_id":"{life.input_file_id or file_id(life.code, "input")}","completion_window":"24h",'
        f'"status":"{state}","output_file_id":{output},"error_file_id":{error},"created_at":{life.created_at},'
        f'"in_progress_at":{int(life.begins) if checked else "null"},"expires_at":{life.created_at + DAY},'
        f'"finalizing_at":{int(life.wraps) if seen >= life.wraps else "null"},'
        f'"completed_at":{ended if over and state == "completed" else "null"},'
        f'"failed_at":{ended if over and state == "failed" else "null"},'
        f'"expired_at":{ended if over and state == "expired" else "null"},'
        f'"cancelling_at":{int(life.stops) if now >= life.stops else "null"},'
        f'"cancelled_at":{ended if over and state == "cancelled" else "null"},'
        # While the file is checked OpenAI knows no total either, and says 0.
        f'"request_counts":{{"total":{life.total if checked else 0},"completed":{completed},"failed":{failed}}},'
        f'"usage":{{"input_tokens":{read * completed},"input_tokens_details":{{"cached_tokens":{cached * completed}}},'
        f'"output_tokens":{written * completed},"output_tokens_details":{{"reasoning_tokens":{reasoning * completed}}},'
        f'"total_tokens":{(read + written) * completed}}},"metadata":{life.metadata}}}'
    )
