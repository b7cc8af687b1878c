"""What a concern is called: its sentence, a few words beside a status, and what it is drawn as.

From its evidence alone, so that it is true whenever it is read.
"""

from collections.abc import Callable
from datetime import datetime
from math import floor

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from dashboard.insight.causes import cause_of
from dashboard.insight.concerns import Evidence
from dashboard.insight.outcome import amid, count
from dashboard.models import Reason
from dashboard.models.batch import Status

# How a time and a number of seconds are written: a page says 14:05, a mail also names the zone.
type Clock = Callable[[datetime], str]
type Span = Callable[[float], str]
# What each is drawn as: the name of an icon and a colour.
STATES = {
    Reason.CONNECTION_FAILING: "failed",
    Reason.SYNC_STALE: "stale",
    Reason.FAILED_VALIDATION: "failed",
    Reason.ALL_FAILED: "failed",
    Reason.HIGH_FAILED_SHARE: "partial",
    Reason.EXPIRED: "expired",
    Reason.STALLED: "stalled",
    Reason.WINDOW_NEARLY_OVER: "risk",
    Reason.OVERDUE: "risk",
    Reason.CANCEL_STUCK: "stalled",
    Reason.COUNTS_DIFFER: "unknown",
    Reason.UNSEEN: "gone",
    Reason.RESULTS_EXPIRE: "stale",
}


def since_of(evidence: Evidence) -> datetime | None:
    """When it began, where that is known better than when it was noticed."""
    return _time(evidence, "since")


def _time(evidence: Evidence, name: str) -> datetime | None:
    return datetime.fromisoformat(evidence[name]) if evidence.get(name) else None


def sentence(reason: str, evidence: Evidence, clock: Clock, span: Span) -> str:
    """What happened, since when, what changed last and what is usual here, as far as each is known."""
    said = _numbers(evidence, clock)
    match reason:
        case Reason.FAILED_VALIDATION:
            words = _("The input file did not pass validation, so no request was run.")
            return _joined(words, _first_words(evidence))
        case Reason.ALL_FAILED if evidence.get("broken"):
            words = _("The vendor ended it as failed after it had started; no request completed.")
            return _joined(words, _first_words(evidence))
        case Reason.ALL_FAILED:
            words = ngettext(
                "It completed, but its one request failed.",
                "It completed, but all of its %(failed)s requests failed.",
                evidence.get("failed") or 0,
            )
            words %= said
            return _joined(words, _hidden(evidence) % said, _first_words(evidence))
        case Reason.HIGH_FAILED_SHARE if evidence.get("runs"):
            return _("%(failed)s of the %(processed)s requests processed so far failed (%(share)s %%).") % said
        case Reason.HIGH_FAILED_SHARE if evidence.get("broken"):
            words = _("The vendor ended it as failed; %(done)s of %(total)s requests had completed.") % said
            return _joined(words, _first_words(evidence))
        case Reason.HIGH_FAILED_SHARE:
            words = _("%(failed)s of %(total)s requests failed (%(share)s %%).")
            return _joined(words % said, _hidden(evidence) % said)
        case Reason.EXPIRED:
            return _expired(evidence) % said
        case Reason.STALLED:
            return _joined(_stall(evidence) % said, _usual(evidence, span))
        case Reason.WINDOW_NEARLY_OVER:
            words = _("Little of its window is left: the deadline is %(deadline)s.") % said
            return _joined(words, _progress(evidence) % said)
        case Reason.OVERDUE:
            words = _("The deadline was %(deadline)s. The vendor was asked since, and does not call it expired.") % said
            return _joined(words, _progress(evidence) % said)
        case Reason.CANCEL_STUCK if evidence.get("by"):
            words = _("%(by)s cancelled it at %(since)s and the vendor accepted, but it does not stop.") % said
            return _joined(words, _("A cancel usually takes up to 10 minutes."))
        case Reason.CANCEL_STUCK:
            return _("Cancelling since %(since)s. A cancel usually takes up to 10 minutes.") % said
        case Reason.COUNTS_DIFFER:
            return _difference(evidence) % said
        case Reason.UNSEEN:
            words = _("The vendor has answered this key with 404 since %(since)s. What is shown was seen before.")
            return words % said
        case Reason.RESULTS_EXPIRE if evidence.get("usual"):
            words = _("Its output file is probably deleted at %(expires)s: vendors usually keep one for 30 days.")
            return words % said
        case Reason.RESULTS_EXPIRE:
            return _("The vendor deletes its output file at %(expires)s.") % said
        case Reason.CONNECTION_FAILING:
            return _joined(_("Every try has failed since %(since)s.") % said, cause_of(str(evidence.get("kind", ""))))
        case Reason.SYNC_STALE if evidence.get("never"):
            return _("It was never synced. The first try was at %(since)s.") % said
        case Reason.SYNC_STALE:
            words = _("No good sync since %(since)s. Until the next one nobody knows what has stalled or is overdue.")
            return words % said
    return ""


def in_short(reason: str, evidence: Evidence, clock: Clock) -> str:
    """A few words beside a status, which they do not repeat."""
    said = _numbers(evidence, clock)
    match reason:
        case Reason.FAILED_VALIDATION:
            return _("no request was run")
        case Reason.ALL_FAILED:
            return _("no request completed")
        case Reason.HIGH_FAILED_SHARE if not evidence.get("broken"):
            return _("%(share)s %% failed") % said
        case Reason.EXPIRED if evidence.get("total"):
            return _("%(rest)s not completed") % said
        case Reason.STALLED:
            return _("stalled, no change since %(since)s") % said
        case Reason.WINDOW_NEARLY_OVER:
            words = _("window nearly over, %(part)s %% done") if evidence.get("total") else _("window nearly over")
            return words % said
        case Reason.OVERDUE:
            return _("overdue, not called expired")
        case Reason.CANCEL_STUCK:
            return _("cancel stuck since %(since)s") % said
        case Reason.COUNTS_DIFFER:
            return _("counts do not add up")
        case Reason.UNSEEN:
            return _("with this key since %(since)s") % said
        case Reason.RESULTS_EXPIRE:
            return _("results expire %(expires)s") % said
    return amid(Reason(reason).label)


def _numbers(evidence: Evidence, clock: Clock) -> dict[str, str]:
    """Every figure that a sentence may want, written as people read it."""
    done, failed, total = (evidence.get(name) or 0 for name in ("done", "failed", "total"))
    seen = evidence.get("processed", done + failed)
    of = seen if evidence.get("runs") else total
    said = {
        "done": count(done),
        "failed": count(failed),
        "total": count(total),
        "processed": count(seen),
        "share": count(round(100 * failed / of)) if of else "0",
        "part": count(floor(100 * seen / total)) if total else "",
        "rest": count(max(0, total - done)),
        "apart": count(abs(total - done - failed)),
        "sum": count(done + failed),
        "hidden": count(evidence.get("hidden")),
        "by": str(evidence.get("by", "")),
    }
    for name in ("since", "deadline", "expires"):
        at = _time(evidence, name)
        said[name] = clock(at) if at else _("an unknown time")
    return said


def _joined(*pieces: str) -> str:
    return " ".join(piece for piece in pieces if piece)


def _first_words(evidence: Evidence) -> str:
    first = evidence.get("first") or {}
    if not first.get("words"):
        return ""
    if first.get("line") is None:
        return _("The vendor says: %(words)s") % first
    return _("The vendor says of line %(line)s: %(words)s") % first


def _hidden(evidence: Evidence) -> str:
    if not evidence.get("hidden"):
        return ""
    return _("The vendor counts %(hidden)s of those as completed; its files hold the errors.")


def _expired(evidence: Evidence) -> str:
    if not evidence.get("total"):
        return _("The deadline passed before the vendor said how many requests there are.")
    if not evidence.get("done"):
        return ngettext(
            "The deadline passed, and its one request did not complete.",
            "The deadline passed, and none of its %(total)s requests completed.",
            evidence["total"],
        )
    if not evidence.get("file"):
        return _("The deadline passed with %(done)s of %(total)s requests completed, but the vendor names no output.")
    return _("The deadline passed with %(done)s of %(total)s requests completed; those are usable.")


def _stall(evidence: Evidence) -> str:
    match evidence.get("status"):
        case Status.VALIDATING:
            return _("Validating since %(since)s.")
        case Status.FINALIZING:
            return _("Finalizing since %(since)s.")
    if evidence.get("total"):
        return _("No count has changed since %(since)s, when %(processed)s of %(total)s requests were processed.")
    return _("No count has changed since %(since)s.")


def _usual(evidence: Evidence, span: Span) -> str:
    if evidence.get("usual") is None:
        return _("Too little was seen on this connection to say what is usual.")
    said = {"middle": span(evidence["usual"]), "most": span(evidence["usual_most"])}
    if evidence.get("status") == Status.IN_PROGRESS:
        return _("Usual here is a change every %(middle)s, nine times of ten within %(most)s.") % said
    if said["middle"] == said["most"]:
        return _("Usual here is %(middle)s.") % said
    return _("Usual here is %(middle)s, nine times of ten less than %(most)s.") % said


def _progress(evidence: Evidence) -> str:
    if evidence.get("total"):
        return _("%(processed)s of %(total)s requests are processed.")
    return _("The vendor has not said how many requests there are.")


def _difference(evidence: Evidence) -> str:
    if evidence["done"] + evidence["failed"] > evidence["total"]:
        return _("%(done)s completed and %(failed)s failed requests make %(sum)s, but there are only %(total)s.")
    return _("It completed, but %(apart)s of %(total)s requests are neither completed nor failed.")
