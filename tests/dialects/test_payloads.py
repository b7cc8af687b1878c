"""Every payload that a vendor was seen to send is read as it means, or refused for the right reason."""

from __future__ import annotations

from typing import Any

import pytest

from dashboard.dialects import REASONS, RefusedRecord, RemoteBatch
from dashboard.dialects.record import read_any, read_ordinary, read_record, to_status
from dashboard.dialects.wire import read_page

from .conftest import NOW, PAYLOADS, payload

T = 1_750_287_018

ACCEPTED: dict[str, dict[str, Any]] = {
    "aibrix/scheduling": {"status": "validating", "raw_status": "scheduling", "requests_total": None, "metadata": {}},
    "aimock/completed": {"status": "completed", "output_file_id": "", "requests_completed": 3, "cancelled_at": None},
    "alibaba/completed": {"metadata": {"ds_name": "task", "ds_description": "demo"}},
    "azure/failed_with_completed_at": {
        "status": "failed",
        "completed_at": T + 30,
        "failed_at": None,
        "output_file_id": "file-9f3a81d899b4442f98b640e4bc3535dd",
        "errors[0].code": "empty_file",
        "errors[0].line": None,
    },
    "azure/running": {
        "status": "in_progress",
        "endpoint": "/chat/completions",
        "requests_total": 10,
        "requests_failed": None,
    },
    "azure/validating": {
        "status": "validating",
        "raw_status": "Validating",
        "created_at": 1721409237,
        "expires_at": 1721495637,
        "endpoint": "",
        "output_file_id": "",
        "requests_total": None,
    },
    "bella/queued": {"status": "validating", "created_at": 1762867031, "requests_total": None},
    "bigmodel/completed": {
        "requests_total": 123,
        "requests_completed": 120,
        "requests_failed": 3,
        "completed_at": 1715769834,
    },
    "cerebras/cancelling": {"status": "cancelling", "completed_at": T + 5, "expires_at": None, "requests_total": None},
    "doubleword/expired_while_running": {
        "status": "in_progress",
        "expired_at": T + 86400,
        "input_file_id": "",
        "errors[0].message": "slow",
    },
    "gemini/counts_as_texts": {
        "status": "in_progress",
        "requests_total": 12,
        "requests_completed": 7,
        "requests_failed": 0,
    },
    "litellm/anthropic": {"input_file_id": "", "endpoint": "", "output_file_id": "f" * 338},
    "mistral/errors_in_a_list": {"status": "failed", "errors[0].message": "bad line"},
    "node_sdk/camel_case": {
        "status": "cancelled",
        "completion_window": "24h",
        "input_file_id": "file-in",
        "output_file_id": "file-out",
        "error_file_id": "file-err",
        "created_at": T,
        "in_progress_at": T + 1,
        "expires_at": T + 86400,
        "finalizing_at": T + 3,
        "completed_at": T + 4,
        "failed_at": T + 5,
        "expired_at": T + 6,
        "cancelling_at": T + 7,
        "cancelled_at": T + 8,
        "requests_total": 9,
        "requests_completed": 4,
        "requests_failed": 1,
        "tokens_input": 10,
        "tokens_cached": 2,
        "tokens_output": 5,
        "tokens_reasoning": 1,
        "tokens_total": 15,
    },
    "novita/failed": {"status": "failed", "errors[0].message": "input file has no valid lines", "created_at": None},
    "novita/running": {
        "status": "in_progress",
        "raw_status": "PROGRESS",
        "created_at": T,
        "errors": (),
        "output_file_id": "",
    },
    "ogx/failed": {"errors[0].line": 1, "errors[0].param": "custom_id", "requests_total": None},
    "ogx/validating": {"requests_total": None, "tokens_total": None, "expires_at": None},
    "openai/all_failed": {"status": "completed", "requests_completed": 0, "requests_failed": 120, "output_file_id": ""},
    "openai/bad_counts": {"requests_total": None, "requests_completed": None, "requests_failed": None},
    "openai/bad_times": {"created_at": None, "in_progress_at": None, "expired_at": None, "requests_total": 5},
    "openai/completed": {"tokens_cached": 512, "tokens_reasoning": 4000, "model": "gpt-4o-2024-08-06", "oddities": ()},
    "openai/empty_file_ids": {"output_file_id": "", "error_file_id": ""},
    "openai/expired": {"status": "expired", "requests_total": 10, "requests_completed": 1, "requests_failed": 0},
    "openai/float_times": {"created_at": 1711471533, "in_progress_at": 1711471600, "expires_at": 1711557933},
    "openai/future_status": {"status": "unknown", "raw_status": "archived"},
    "openai/generated_sample": {"created_at": None, "completed_at": None, "expires_at": None},
    "openai/huge_counts": {"requests_total": None, "requests_completed": None, "requests_failed": None},
    "openai/invalid_lines": {"errors[1].line": 7, "errors[1].param": "method"},
    "openai/metadata_of_any_type": {
        "metadata": {"n": "1", "x": '{"y":2}', "yes": "true", "list": '[1,"a"]', "name": "café 🚀"}
    },
    "openai/more_done_than_there_are": {"requests_total": 10, "requests_completed": 9, "requests_failed": 3},
    "openai/no_created_at": {"created_at": None},
    "openai/started_in_the_same_second": {"in_progress_at": T, "created_at": T},
    "openai/token_limit": {"errors[0].code": "token_limit_exceeded", "errors[0].line": None, "errors[0].param": ""},
    "openai/total_tokens_only": {"tokens_total": 13, "tokens_input": None},
    "openai/validating": {"requests_total": 0, "requests_completed": 0, "tokens_total": 0, "model": ""},
    "openrouter/completed": {
        "completed_at": T + 99,
        "input_file_id": "",
        "tokens_input": 7,
        "tokens_output": 6,
        "tokens_cached": 3,
    },
    "openrouter/failed": {"failed_at": T + 9, "errors[0].code": "400", "errors[0].message": "No endpoints found"},
    "orq/running": {"errors": (), "metadata": {"batch": '{"id":7}'}},
    "qoder/processing": {"status": "in_progress", "requests_total": 8, "requests_completed": 1},
    "siliconflow/queued": {"status": "validating", "requests_total": None},
    "together/failed": {"status": "failed", "errors[0].message": "boom", "model": "meta-llama/Llama-3-70b"},
    "vllm_router/running": {
        "status": "in_progress",
        "requests_total": 12,
        "requests_completed": 5,
        "requests_failed": 1,
    },
    "xai/date_only": {"created_at": 1770076800},
}

ODD: dict[str, list[str]] = {
    "novita/failed": ["created_at"],
    "openai/bad_counts": ["request_counts.total", "request_counts.completed", "request_counts.failed"],
    "openai/bad_times": [
        "created_at",
        "in_progress_at",
        "expires_at",
        "finalizing_at",
        "completed_at",
        "failed_at",
        "expired_at",
        "cancelling_at",
    ],
    "openai/generated_sample": ["created_at", "expires_at", "failed_at"],
    "openai/huge_counts": ["request_counts.total", "request_counts.completed", "request_counts.failed"],
    "openai/more_done_than_there_are": ["request_counts"],
    "openai/no_created_at": ["created_at"],
}

# name -> records, cursor, has_more
PAGES: dict[str, tuple[int, str | None, bool]] = {
    "azure/page": (1, "batch_az_1", False),
    "azure/page_value": (2, "batch_az_2", True),
    "groq/page": (1, "batch_01jd5yd5j4fdv8w9e1q0a2b3c4", True),
    "kimi/page": (2, "batch_k2", True),
    "litellm/vertex_page": (1, "CAESBgoEdG9rZW4=", True),
    "ogx/page_of_none": (0, None, True),
    "orq/page_of_null": (0, None, False),
    "together/page": (1, "7e0a1b2c-aaaa-bbbb-cccc-1234567890ab", False),
    "voyage/page": (1, "batch-vo-1", True),
}

FILES = sorted(str(path.relative_to(PAYLOADS).with_suffix("")) for path in PAYLOADS.glob("*/*.json"))
REFUSED = [name for name in FILES if "/refused_" in name]


def read(name: str) -> RemoteBatch:
    batch = read_record(payload(name), NOW)
    assert isinstance(batch, RemoteBatch), batch
    return batch


def look(batch: RemoteBatch, path: str) -> Any:
    if path.startswith("errors["):
        return getattr(batch.errors[int(path[7])], path.partition(".")[2])
    return getattr(batch, path)


def test_every_payload_file_is_tried() -> None:
    assert sorted([*ACCEPTED, *PAGES, *REFUSED]) == FILES


@pytest.mark.parametrize("name", ACCEPTED)
def test_an_odd_payload_is_read_as_it_means(name: str) -> None:
    batch = read(name)
    assert {path: look(batch, path) for path in ACCEPTED[name]} == ACCEPTED[name]
    assert batch.remote_id in payload(name).decode()


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_could_not_be_read_is_named_and_nothing_else(name: str) -> None:
    assert [line.partition(":")[0] for line in read(name).oddities] == ODD.get(name, [])


@pytest.mark.parametrize("name", ACCEPTED)
def test_the_payload_is_kept_as_it_came_but_for_inline_results(name: str) -> None:
    kept = read(name).payload
    if name == "openrouter/completed":
        assert b"INLINE" not in kept
        assert b'"finalized_at"' in kept
    else:
        assert kept == payload(name)


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_batch_is_refused_for_its_reason(name: str) -> None:
    refused = read_record(payload(name), NOW)
    assert isinstance(refused, RefusedRecord)
    assert name.partition("/refused_")[2] == refused.reason
    assert refused.reason in REASONS
    assert 0 < len(refused.excerpt) <= 200


@pytest.mark.parametrize("name", PAGES)
def test_a_list_of_any_shape_is_walked(name: str) -> None:
    page = read_page(payload(name), now=NOW)
    assert (len(page.batches), page.next_cursor, page.has_more) == PAGES[name]
    assert page.refused == []


@pytest.mark.parametrize("name", ["openai/completed", "openai/validating", "openai/expired", "openai/all_failed"])
def test_ordinary_payloads_take_the_fast_reader(name: str) -> None:
    assert read_ordinary(payload(name)) == read_any(payload(name), NOW)


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ("Validating", "validating"),
        ("IN_PROGRESS", "in_progress"),
        ("JOB_STATE_SUCCEEDED", "completed"),
        ("BATCH_STATE_PENDING", "validating"),
        ("JOB_STATE_EXPIRED", "expired"),
        ("TIMEOUT_EXCEEDED", "expired"),
        ("PartiallyCompleted", "completed"),
        ("canceled", "cancelled"),
        ("CANCELLATION_REQUESTED", "cancelling"),
        ("in progress", "in_progress"),
        ("writing_results", "finalizing"),
        ("calling", "unknown"),
    ],
)
def test_other_words_for_a_status_are_known(raw: str, status: str) -> None:
    assert to_status(raw) == status
