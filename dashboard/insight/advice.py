"""Whether another try of a failed request is worth it: a few words for a tag, and the sentence behind them."""

from dataclasses import dataclass

from django.utils.translation import gettext_lazy as _

from dashboard.insight import retry

TAGS = {
    "yes": _("worth a retry"),
    "later": _("not yet"),
    "no": _("will fail again"),
    "unknown": _("look"),
}
# Where the request itself is at fault, the tag says what to do.
TO_FIX = ("too_long", "no_such_model", "invalid_request")


@dataclass(frozen=True, slots=True)
class Advice:
    words: str
    sentence: str
    is_worth: bool


WORTH = tuple(code for code in retry.RETRY_REASONS if retry.verdict_of(code) == "yes")


def advice_of(code: str) -> Advice:
    """For a reason of retry.py; one that is not known says to look."""
    verdict = retry.verdict_of(code)
    words = _("fix the input") if code in TO_FIX else _("never ran") if code in retry.NEVER_RAN else TAGS[verdict]
    return Advice(str(words), retry.advice(code), verdict == "yes")
