"""aimock and OGX as the tests meet them: an address, a key, and the official SDK."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openai import DefaultHttpxClient, OpenAI
from openai.types import Batch as SdkBatch

from dashboard.supervisor.keeper import Sitter
from tests.servers import installs
from tests.servers.processes import Process, answers, free_port

KEY = "sk-local-test"

type Line = Mapping[str, Any]


@dataclass
class Vendor:
    """A running Batch API server that somebody else wrote."""

    base_url: str
    process: Process

    def sdk(self) -> OpenAI:
        """To be used in a `with`. Without retries: what a server does is what a test sees."""
        # OGX cuts a kept connection after some refusals, so none is kept.
        client = DefaultHttpxClient(trust_env=False, headers={"Connection": "close"})
        return OpenAI(base_url=self.base_url, api_key=KEY, max_retries=0, timeout=30, http_client=client)

    def make(
        self, lines: Sequence[Line | str], *, metadata: dict[str, str] | None = None, headers: Mapping[str, str] = {}
    ) -> SdkBatch:
        """Uploads an input file and creates a batch of it, as the vendor's documentation says."""
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines) + "\n"
        with self.sdk() as sdk:
            file = sdk.files.create(file=("input.jsonl", text.encode()), purpose="batch")
            return sdk.batches.create(
                input_file_id=file.id,
                endpoint="/v1/chat/completions",
                completion_window="24h",
                metadata=metadata,
                extra_headers=headers,
            )

    def look(self, remote_id: str) -> SdkBatch:
        """What the vendor itself says of a batch."""
        with self.sdk() as sdk:
            return sdk.batches.retrieve(remote_id)


def questions(count: int, model: str = "calm/gpt-4o") -> list[Line]:
    """Lines of an input file. A model is named as OGX does; aimock does not mind."""
    return [
        {
            "custom_id": f"question-{number}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": model, "messages": [{"role": "user", "content": "hello"}], "max_tokens": 8},
        }
        for number in range(1, count + 1)
    ]


def aimock(folder: Path, sitter: Sitter) -> Vendor:
    """An aimock that is not started yet. Its state is in memory: started again, it knows no batch."""
    fixtures = folder / "fixtures"
    fixtures.mkdir()
    answer = {"match": {"userMessage": "hello"}, "response": {"content": "Hi"}}
    (fixtures / "answers.json").write_text(json.dumps({"fixtures": [answer]}))
    port = free_port()
    process = Process(
        [*installs.aimock(), "-p", str(port), "-h", "127.0.0.1", "-f", str(fixtures)],
        sitter=sitter,
        log=folder / "aimock.log",
        ready=lambda: answers(port, "/v1/batches"),
        env=os.environ | {"AIMOCK_API_KEYS": KEY},
        cwd=folder,
    )
    return Vendor(f"http://127.0.0.1:{port}/v1", process)


# A model's name on OGX is one of these, then "/gpt-4o": each is a llmock of its own with its own manners.
MANNERS: Mapping[str, Sequence[str]] = {
    "calm": ("--latency-ms", "20"),
    "slow": ("--latency-ms", "1500"),
    "mixed": ("--latency-ms", "20", "--error-rate", "400=0.3"),
    "failing": ("--latency-ms", "20", "--error-rate", "400=1.0"),
}


@dataclass
class Model:
    """A llmock, which stands in for a model behind OGX."""

    port: int
    process: Process


def models(folder: Path, sitter: Sitter) -> dict[str, Model]:
    """One of each manner, not started yet."""
    return {manner: _model(manner, folder, sitter) for manner in MANNERS}


def _model(manner: str, folder: Path, sitter: Sitter) -> Model:
    port = free_port()
    process = Process(
        [installs.ogx() / "llmock", "serve", "--host", "127.0.0.1", "--port", str(port), *MANNERS[manner]],
        sitter=sitter,
        log=folder / f"llmock-{manner}.log",
        ready=lambda: answers(port, "/v1/models"),
        cwd=folder,
    )
    return Model(port, process)


def ogx(folder: Path, sitter: Sitter, behind: Mapping[str, Model], *, at_once: int = 8) -> Vendor:
    """An OGX that is not started yet. Its state is in `folder`: started again, it knows its batches.

    `at_once` is how many batches it works on at a time; the others wait and are `validating`.
    """
    port = free_port()
    config = folder / "ogx.yaml"
    # JSON is YAML too.
    config.write_text(json.dumps(_ogx_config(folder, port, behind, at_once), indent=2))
    process = Process(
        [installs.ogx() / "ogx", "run", "--insecure", str(config)],
        sitter=sitter,
        log=folder / "ogx.log",
        ready=lambda: answers(port, "/v1/health"),
        env=os.environ | {"HOME": str(folder), "OGX_HOME": str(folder), "HF_HUB_OFFLINE": "1"},
        cwd=folder,
    )
    return Vendor(f"http://127.0.0.1:{port}/v1", process)


def _ogx_config(folder: Path, port: int, behind: Mapping[str, Model], at_once: int) -> dict[str, Any]:
    def table(name: str, **more: int) -> dict[str, Any]:
        return {"table_name": name, "backend": "sql_default", **more}

    def provider(name: str, kind: str, **config: Any) -> dict[str, Any]:
        return {"provider_id": name, "provider_type": kind, "config": config}

    return {
        "version": 2,
        "distro_name": "batches",
        "apis": ["batches", "files", "inference"],
        "providers": {
            "inference": [
                provider(name, "remote::vllm", base_url=f"http://127.0.0.1:{model.port}/v1", api_token="fake")
                for name, model in behind.items()
            ],
            "files": [
                provider(
                    "localfs",
                    "inline::localfs",
                    storage_dir=str(folder / "files"),
                    metadata_store=table("files_metadata"),
                )
            ],
            "batches": [
                provider(
                    "reference",
                    "inline::reference",
                    sqlstore=table("batches"),
                    max_concurrent_batches=at_once,
                    max_concurrent_requests_per_batch=2,
                )
            ],
        },
        "storage": {
            "backends": {
                "kv_default": {"type": "kv_sqlite", "db_path": str(folder / "kv.db")},
                "sql_default": {"type": "sql_sqlite", "db_path": str(folder / "sql.db")},
            },
            "stores": {
                "metadata": {"namespace": "registry", "backend": "kv_default"},
                "inference": table("inference_store", max_write_queue_size=1000, num_writers=1),
                "conversations": table("openai_conversations"),
                "prompts": table("prompts"),
                "connectors": table("connectors"),
            },
        },
        "registered_resources": {
            "models": [
                {
                    "model_id": "gpt-4o",
                    "provider_id": name,
                    "provider_model_id": "gpt-4o",
                    "model_type": "llm",
                    "metadata": {},
                }
                for name in behind
            ]
        },
        "server": {
            "host": "127.0.0.1",
            "port": port,
            "auth": {"provider_config": {"type": "local_api_key", "api_keys": [KEY]}},
        },
    }
