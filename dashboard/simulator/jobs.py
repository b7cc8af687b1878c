"""What the imaginary teams run: names, models, sizes, and the failures that they meet."""

from dataclasses import dataclass, field
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class Refusal:
    """One way in which a single request fails, as the line of an error file tells it."""

    status_code: int
    type: str
    code: str | None
    param: str | None
    message: str


@dataclass(frozen=True, slots=True)
class Job:
    """A kind of batch that somebody runs again and again."""

    name: str
    endpoint: str
    model: str
    size: int  # requests in a typical run
    tokens: tuple[int, int, int, int] = (620, 180, 0, 0)  # per request: input, output, cached, reasoning
    metadata: dict[str, str] = field(default_factory=dict)
    refusals: tuple[Refusal, ...] = ()
    # The metadata as JSON, cut open where the number of the run goes.
    opening: str = ""

    def metadata_of_run(self, run: int) -> str:
        """The metadata of one run as JSON text; `null` for those who never fill it in."""
        return f'{self.opening}{run}"}}' if self.opening else "null"


TOO_LONG = Refusal(
    400,
    "invalid_request_error",
    "context_length_exceeded",
    "messages",
    "This model's maximum context length is 128000 tokens. However, your messages resulted in 131542 tokens. "
    "Please reduce the length of the messages.",
)
FLAGGED = Refusal(
    400,
    "invalid_request_error",
    "invalid_prompt",
    None,
    "Invalid prompt: your prompt was flagged as potentially violating our usage policy. "
    "Please try again with a different prompt.",
)
SERVER = Refusal(
    500,
    "server_error",
    None,
    None,
    "The server had an error while processing your request. Sorry about that!",
)
NO_IMAGE = Refusal(
    400,
    "invalid_request_error",
    "invalid_image_url",
    "messages.[0].content.[1].image_url",
    "Error while downloading the image: the server answered 403.",
)
BAD_PARAMETER = Refusal(
    400,
    "invalid_request_error",
    "unsupported_parameter",
    "max_tokens",
    "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead.",
)
BAD_SCHEMA = Refusal(
    400,
    "invalid_request_error",
    "invalid_json_schema",
    "text.format.schema",
    "Invalid schema for response_format 'invoice': In context=('properties', 'lines'), "
    "'additionalProperties' is required to be supplied and to be false.",
)
LIMITED = Refusal(
    429,
    "tokens",
    "rate_limit_exceeded",
    None,
    "Rate limit reached for the model on tokens per min (TPM). Please try again in 1.2s.",
)
EMPTY_INPUT = Refusal(
    400, "invalid_request_error", None, "input", "'$.input' is invalid: input cannot be an empty string."
)
REFUSALS = (TOO_LONG, FLAGGED, SERVER, NO_IMAGE, BAD_PARAMETER, BAD_SCHEMA, LIMITED, EMPTY_INPUT)

CHAT, RESPONSES, EMBEDDINGS, MODERATIONS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings", "/v1/moderations"
MINI, FULL, NANO = "gpt-5-mini-2025-08-07", "gpt-5-2025-08-07", "gpt-5-nano-2025-08-07"
OLD, OLD_MINI, SMALL, LARGE = (
    "gpt-4o-2024-08-06",
    "gpt-4o-mini-2024-07-18",
    "text-embedding-3-small",
    "text-embedding-3-large",
)


def _job(
    name: str,
    who: str,
    endpoint: str,
    model: str,
    size: int,
    tokens: tuple[int, int, int, int],
    *refusals: Refusal,
    **more: str,
) -> Job:
    owner, team = who.split("/")
    metadata = {"name": name, "owner": owner, "team": team, **more}
    opening = msgspec.json.encode(metadata).decode()[:-1] + ',"run":"'
    return Job(name, endpoint, model, size, tokens, metadata, refusals or (SERVER,), opening)


JOBS = (
    _job("support-ticket-triage", "amara/support", CHAT, OLD_MINI, 4200, (540, 60, 320, 0), FLAGGED, SERVER),
    _job(
        "review-sentiment",
        "jonas/insights",
        CHAT,
        OLD_MINI,
        18000,
        (210, 24, 128, 0),
        FLAGGED,
        LIMITED,
        source="app-store",
    ),
    _job("invoice-extraction", "li.wei/finance", RESPONSES, MINI, 2600, (1850, 420, 0, 256), BAD_SCHEMA, TOO_LONG),
    _job(
        "product-descriptions-de", "sofia/catalog", CHAT, OLD, 6400, (780, 310, 0, 0), SERVER, FLAGGED, locale="de-DE"
    ),
    _job(
        "product-descriptions-fr", "sofia/catalog", CHAT, OLD, 6400, (780, 330, 0, 0), SERVER, FLAGGED, locale="fr-FR"
    ),
    _job("product-descriptions-ja", "sofia/catalog", CHAT, OLD, 6400, (780, 410, 0, 0), SERVER, locale="ja-JP"),
    _job(
        "catalog-embeddings", "tomasz/search", EMBEDDINGS, SMALL, 42000, (96, 0, 0, 0), EMPTY_INPUT, index="products-v7"
    ),
    _job(
        "helpcenter-embeddings", "tomasz/search", EMBEDDINGS, LARGE, 9800, (380, 0, 0, 0), EMPTY_INPUT, index="help-v3"
    ),
    _job("contract-clause-review", "priya/legal", RESPONSES, FULL, 340, (9200, 1400, 2048, 900), TOO_LONG, SERVER),
    _job(
        "nightly-eval",
        "noah/ml-platform",
        RESPONSES,
        FULL,
        1200,
        (1400, 650, 1024, 400),
        BAD_PARAMETER,
        LIMITED,
        suite="regression",
    ),
    _job(
        "nightly-eval-mini",
        "noah/ml-platform",
        RESPONSES,
        MINI,
        1200,
        (1400, 600, 1024, 350),
        LIMITED,
        suite="regression",
    ),
    _job("call-transcript-summaries", "amara/support", CHAT, OLD_MINI, 3100, (5200, 240, 0, 0), TOO_LONG, FLAGGED),
    _job(
        "moderation-backfill",
        "kofi/trust-safety",
        MODERATIONS,
        "omni-moderation-latest",
        30000,
        (120, 0, 0, 0),
        NO_IMAGE,
    ),
    _job(
        "alt-text", "elena/accessibility", CHAT, OLD, 7500, (1100, 70, 0, 0), NO_IMAGE, FLAGGED, source="media-library"
    ),
    _job("lead-enrichment", "marcus/sales-ops", RESPONSES, MINI, 5400, (900, 260, 512, 120), SERVER, LIMITED),
    _job(
        "synthetic-questions",
        "hana/research",
        RESPONSES,
        FULL,
        11000,
        (700, 900, 0, 500),
        FLAGGED,
        SERVER,
        dataset="qa-v4",
    ),
    _job("translation-memory", "ingrid/localization", CHAT, OLD, 16000, (320, 300, 0, 0), LIMITED, locale="nb-NO"),
    _job("log-anomaly-labels", "diego/platform", RESPONSES, NANO, 48000, (260, 18, 128, 0), TOO_LONG),
    _job("resume-parsing", "fatima/people", RESPONSES, MINI, 880, (2400, 520, 0, 200), BAD_SCHEMA, TOO_LONG),
    _job("churn-reasons", "jonas/insights", CHAT, OLD_MINI, 2300, (640, 45, 256, 0), FLAGGED, quarter="Q4"),
    _job("seo-meta", "sofia/catalog", CHAT, OLD_MINI, 21000, (340, 48, 256, 0), SERVER),
    _job(
        "clinical-notes-deid",
        "yusuf/health",
        RESPONSES,
        FULL,
        640,
        (3100, 2900, 0, 300),
        FLAGGED,
        TOO_LONG,
        purpose="research",
    ),
    _job("code-comments", "noah/ml-platform", RESPONSES, FULL, 5200, (2100, 380, 1024, 260), TOO_LONG, SERVER),
    Job("scratch", CHAT, OLD_MINI, 40, (120, 90, 0, 0), {}, (BAD_PARAMETER,)),
)

ORGANIZATION = "org-Qm7vX2kLd93TfWzR"

# How the check of an input file fails: code, message, param, whether it points at a line.
INVALID: tuple[tuple[str, str, str | None, bool], ...] = (
    ("invalid_json_line", "This line is not parseable as valid JSON.", None, True),
    (
        "duplicate_custom_id",
        "The custom_id for this request is a duplicate of another request. "
        "The custom_id parameter must be unique for each request in a batch.",
        "custom_id",
        True,
    ),
    ("invalid_url", "The URL provided for this request does not match the batch endpoint.", "url", True),
    (
        "model_not_found",
        "The provided model 'gpt-5-mnii' does not exist or is not supported by the Batch API.",
        "body.model",
        True,
    ),
    ("missing_required_parameter", "Missing required parameter: 'custom_id'.", "custom_id", True),
    (
        "token_limit_exceeded",
        f"Enqueued token limit reached for the model in organization {ORGANIZATION}. Limit: 2,000,000 enqueued tokens. "
        "Please try again once some in_progress batches have been completed.",
        None,
        False,
    ),
    ("empty_file", "The input file is empty. Please ensure that it contains at least one request.", None, False),
)

ENDPOINTS = (
    *(CHAT, RESPONSES, EMBEDDINGS, MODERATIONS),
    *("/v1/completions", "/v1/images/generations", "/v1/images/edits", "/v1/videos"),
)
MODELS = tuple(sorted({job.model for job in JOBS}))


def invalid(kind: int, line: int | None) -> dict[str, Any]:
    """One entry of `errors.data`."""
    code, message, param, has_line = INVALID[kind]
    return {"code": code, "message": message, "param": param, "line": line if has_line else None}
