"""Whether it is worth trying a failed request again, unchanged, and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal, get_args

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

type Verdict = Literal["yes", "later", "no", "unknown"]
"""`later`: not before something outside of the request has changed, such as the account's balance."""

type RetryReason = Literal[
    "expired",
    "cancelled",
    "rate_limited",
    "queue_full",
    "server_error",
    "timed_out",
    "conflict",
    "no_quota",
    "bad_key",
    "forbidden",
    "too_long",
    "filtered",
    "no_such_model",
    "invalid_request",
    "unknown",
]

RETRY_REASONS: Final[tuple[str, ...]] = get_args(RetryReason.__value__)
# No failures: nobody tried.
NEVER_RAN: Final = ("expired", "cancelled")

ADVICE: Final[dict[str, str | Promise]] = {
    "expired": _(
        "It never ran, because the deadline of the batch passed first. It cost nothing and can be sent again."
    ),
    "cancelled": _("It never ran, because the batch was cancelled. It cost nothing and can be sent again."),
    "rate_limited": _("The vendor was asked too much at once (429). Sent again later, it can succeed."),
    "queue_full": _("Too many tokens were waiting at the vendor. It can be sent again once other batches have ended."),
    "server_error": _("The vendor had a fault of its own (5xx). Sent again, it can succeed."),
    "timed_out": _("It took too long. Sent again, it can succeed."),
    "conflict": _("It got in the way of another request (409). Sent again, it can succeed."),
    "no_quota": _("The account has no credit or quota left. It fails again until somebody pays or raises the limit."),
    "bad_key": _("The vendor rejected the key. It fails again until the key is valid."),
    "forbidden": _("The key may not do this. It fails again until the account or the key gets the right."),
    "too_long": _("It is longer than the model or the limit allows. It fails again until it is shorter."),
    "filtered": _("The vendor's content filter stopped it. Unchanged, it will be stopped again."),
    "no_such_model": _("The model does not exist, or the account may not use it. The request needs another model."),
    "invalid_request": _("The vendor does not accept the request as it is. It fails again until it is corrected."),
    "unknown": _("Nobody can say from this error whether another try would help."),
}

_VERDICT_OF: Final[dict[RetryReason, Verdict]] = {
    "expired": "yes",
    "cancelled": "yes",
    "rate_limited": "yes",
    "queue_full": "yes",
    "server_error": "yes",
    "timed_out": "yes",
    "conflict": "yes",
    "no_quota": "later",
    "bad_key": "later",
    "forbidden": "later",
    "too_long": "no",
    "filtered": "no",
    "no_such_model": "no",
    "invalid_request": "no",
    "unknown": "unknown",
}


@dataclass(frozen=True, slots=True)
class Retry:
    """Whether to try again, and the code of the reason. True only when it is worth it as things are."""

    verdict: Verdict
    reason: RetryReason

    def __bool__(self) -> bool:
        return self.verdict == "yes"


def is_retryable(status: int | None, code: str, message: str, error_type: str = "") -> Retry:
    """Whether a request that failed so can succeed when it is sent again unchanged.

    What the vendor says outweighs the HTTP status: no quota comes as 429 just like "slow down", a filtered prompt as
    400, and a proxy makes 500 of anything.
    """
    said = message[:2_000].casefold()
    names = (code.strip().casefold(), error_type.strip().casefold())
    reason = _by_words(said) or _by_name(names, _NAMES) or _by_status(status, said) or _by_name(names, _VAGUE_NAMES)
    if reason is None and _REFUSED_BY_SCHEMA.search(said):
        # OGX gives such an error no status.
        reason = "invalid_request"
    return _RETRIES[reason or "unknown"]


def advice(reason: str) -> str:
    """The sentence for a reason; an unlisted one is not known."""
    return str(ADVICE.get(reason) or ADVICE["unknown"])


def verdict_of(reason: str) -> Verdict:
    """The verdict that goes with a reason as it was stored; of an unlisted one nobody knows."""
    return next((verdict for known, verdict in _VERDICT_OF.items() if known == reason), "unknown")


_RETRIES: Final = {reason: Retry(verdict, reason) for reason, verdict in _VERDICT_OF.items()}


def _by_words(said: str) -> RetryReason | None:
    for words, reason in _WORDS:
        if any(word in said for word in words):
            # Google says "check your plan and billing details" of a quota that is back within the minute.
            return "rate_limited" if reason == "no_quota" and "retry in" in said else reason
    return None


def _by_name(names: tuple[str, ...], known: dict[str, RetryReason]) -> RetryReason | None:
    return next((known[name] for name in names if name in known), None)


def _by_status(status: int | None, said: str) -> RetryReason | None:
    if status is None or status < 400:
        return None
    if status == 404 and ("model" in said or "deployment" in said) and ("not exist" in said or "not found" in said):
        return "no_such_model"
    if status >= 500:
        # 501: the endpoint cannot do what is asked, now or later.
        return "invalid_request" if status == 501 else "server_error"
    return _STATUSES.get(status, "invalid_request")


_STATUSES: Final[dict[int, RetryReason]] = {
    401: "bad_key",
    402: "no_quota",
    403: "forbidden",
    408: "timed_out",
    409: "conflict",
    413: "too_long",
    425: "rate_limited",
    429: "rate_limited",
    499: "timed_out",
}

_REFUSED_BY_SCHEMA: Final = re.compile(r"\bvalidation errors? for \w*request")

# Only words that no request could make a vendor say by accident; in this order.
_WORDS: Final[tuple[tuple[tuple[str, ...], RetryReason], ...]] = (
    # OpenAI says it with 429 and rate_limit_exceeded, but no waiting makes the request smaller.
    (("request too large for",), "too_long"),
    (("enqueued token limit",), "queue_full"),
    (("plan and billing", "credit balance is too low", "insufficient balance", "insufficient credits"), "no_quota"),
    (
        (
            "maximum context length",
            "context length exceeded",
            "exceeds the context window",
            "prompt is too long",
            "exceeds the maximum number of tokens",
            "max allowed tokens per submitted batch",
        ),
        "too_long",
    ),
    (("content management policy", "violating our usage policy", "content policy violation"), "filtered"),
    (("timeout while downloading", "request timed out"), "timed_out"),
    (("incorrect api key", "invalid api key"), "bad_key"),
    (("upstream connect error", "connection error."), "server_error"),
)


def _named(table: dict[RetryReason, str]) -> dict[str, RetryReason]:
    return {name: reason for reason, names in table.items() for name in names.split()}


# Codes and types, from the error references of OpenAI, Azure, Anthropic, Google, AWS, Groq, Kimi, Alibaba and BigModel.
_NAMES: Final = _named(
    {
        "expired": "batch_expired",
        "cancelled": "batch_cancelled batch_canceled",
        "no_quota": (
            "insufficient_quota billing_hard_limit_reached billing_not_active insufficient_balance payment_required"
            " billing_error exceeded_current_quota_error arrearage 1113"
        ),
        "too_long": "context_length_exceeded context_window_exceeded string_above_max_length request_too_large",
        "filtered": (
            "content_filter content_policy_violation invalid_prompt moderation_blocked responsibleaipolicyviolation"
            " image_content_policy_violation data_inspection_failed datainspectionfailed 1301"
        ),
        "no_such_model": "model_not_found deploymentnotfound model_decommissioned",
        # What OpenAI finds in an input file before anything runs.
        "invalid_request": ("invalid_json_line duplicate_custom_id missing_required_parameter invalid_url empty_file"),
        "queue_full": "token_limit_exceeded",
        "rate_limited": (
            "rate_limit_exceeded rate_limit_error rate_limit too_many_requests resource_exhausted throttling_error"
            " throttlingexception throttling throttling.ratequota 1302 1305"
        ),
        "server_error": (
            "server_error internal_error internal_server_error internalservererror api_error overloaded_error"
            " engine_overloaded_error service_unavailable unavailable internal"
        ),
        "timed_out": "timeout timeout_error request_timeout deadline_exceeded",
        "bad_key": "invalid_api_key authentication_error unauthenticated",
        "forbidden": "permission_error permission_denied unsupported_country_region_territory",
    }
)
# What vendors call nearly everything.
_VAGUE_NAMES: Final = _named(
    {"invalid_request": "invalid_request_error invalid_argument badrequesterror bad_request not_found_error"}
)
