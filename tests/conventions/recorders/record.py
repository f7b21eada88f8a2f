"""Record captures: real frameworks and instrumentors in throw-away environments, talking to a stub model server.

    python tests/conventions/recorders/record.py [NAME ...]     # all of them without a name

Each recording is one program of ``programs/`` with the packages that it needs, installed from the package index into a
temporary directory; it runs on loopback, without any other network. What comes of it replaces the capture and its truth
in ``tests/conventions/golden``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOLDEN = HERE.parent / "golden"
SDK = "opentelemetry-sdk"


@dataclass(frozen=True)
class Environment:
    """The packages of one throw-away environment."""

    packages: tuple[str, ...]


LANGGRAPH = Environment(
    (
        SDK, "langgraph", "langchain-openai", "httpx", "openinference-instrumentation-langchain",
        "opentelemetry-instrumentation-langchain", "opentelemetry-instrumentation-openai",
    )
)  # fmt: skip
LITELLM = Environment((SDK, "litellm", "openinference-instrumentation-litellm"))
AGENTS = Environment(
    (SDK, "smolagents", "agno", "openai", "openinference-instrumentation-smolagents",
     "openinference-instrumentation-agno")
)  # fmt: skip
OLD = Environment(
    (
        SDK, "openai<2", "langchain<0.4", "langchain-openai<0.4", "httpx<0.29", "setuptools<81", "wrapt<2",
        "opentelemetry-instrumentation-openai==0.40.*", "opentelemetry-instrumentation-langchain==0.40.*",
    )
)  # fmt: skip
STORES = Environment(
    (
        SDK, "fastapi", "httpx", "openai", "qdrant-client", "chromadb", "opentelemetry-instrumentation-qdrant",
        "opentelemetry-instrumentation-chromadb", "opentelemetry-instrumentation-openai",
        "opentelemetry-instrumentation-fastapi",
    )
)  # fmt: skip
PYDANTIC = Environment((SDK, "pydantic-ai-slim[openai]"))
DSPY = Environment((SDK, "dspy", "openinference-instrumentation-dspy"))
HAYSTACK = Environment((SDK, "haystack-ai", "openinference-instrumentation-haystack"))
OPENLIT = Environment((SDK, "openlit", "openai", "chromadb"))
MILVUS = Environment(
    (
        SDK, "openai", "pymilvus", "milvus-lite", "setuptools<81", "opentelemetry-instrumentation-milvus",
        "openinference-instrumentation-openai",
    )
)  # fmt: skip

CLIENTS = Environment(
    (
        SDK, "anthropic", "mistralai<2", "cohere<6", "boto3", "opentelemetry-instrumentation-anthropic",
        "opentelemetry-instrumentation-mistralai", "opentelemetry-instrumentation-cohere",
        "openinference-instrumentation-bedrock",
    )
)  # fmt: skip
LANGCHAIN = Environment(
    (
        SDK, "langchain", "langchain-classic", "langchain-openai", "httpx", "openinference-instrumentation-langchain",
        "opentelemetry-instrumentation-langchain", "opentelemetry-instrumentation-openai",
    )
)  # fmt: skip
OPENAI_AGENTS = Environment((SDK, "openai-agents", "openinference-instrumentation-openai-agents"))
LLAMA_INDEX = Environment(
    (
        SDK, "llama-index-core", "llama-index-llms-openai", "llama-index-llms-openai-like",
        "llama-index-embeddings-openai", "opentelemetry-instrumentation-llamaindex",
        "opentelemetry-instrumentation-openai",
    )
)  # fmt: skip
HAYSTACK_2 = Environment((SDK, "haystack-ai<3", "openinference-instrumentation-haystack"))
SDKS = Environment((SDK, "langfuse", "logfire", "openai"))
MLFLOW = Environment((SDK, "mlflow", "openai"))
VECTOR_CLIENTS = Environment(
    (
        SDK, "openai", "lancedb", "pinecone>=6,<8", "opentelemetry-instrumentation-lancedb",
        "opentelemetry-instrumentation-pinecone", "opentelemetry-instrumentation-openai",
    )
)  # fmt: skip
WEAVIATE = Environment(
    (SDK, "openai", "weaviate-client<4", "opentelemetry-instrumentation-weaviate",
     "opentelemetry-instrumentation-openai")
)  # fmt: skip
OLDER = Environment(
    (
        SDK, "openai<2", "httpx<0.28", "qdrant-client<1.13", "setuptools<81", "wrapt<2",
        "opentelemetry-instrumentation-openai==0.30.*", "opentelemetry-instrumentation-qdrant==0.30.*",
    )
)  # fmt: skip
OLD_LANGCHAIN = Environment(
    (SDK, "langchain<0.3", "langchain-openai<0.2", "httpx<0.28", "setuptools<81", "wrapt<2",
     "openinference-instrumentation-langchain==0.1.29")
)  # fmt: skip
OLD_LLAMA_INDEX = Environment(
    (SDK, "llama-index-core<0.12", "setuptools<81", "wrapt<2", "openinference-instrumentation-llama-index==3.0.*")
)  # fmt: skip
OFFICIAL = Environment(
    (SDK, "openai", "httpx", "google-genai<3", "wrapt<2", "opentelemetry-instrumentation-openai-v2==2.3b0",
     "opentelemetry-instrumentation-google-genai==1.3b0")
)  # fmt: skip
OLD_OFFICIAL = Environment(
    ("opentelemetry-sdk==1.30.*", "openai<2", "httpx<0.28", "setuptools<81", "wrapt<2",
     "opentelemetry-instrumentation-openai-v2==2.0b0")
)  # fmt: skip
LOCAL_CLIENTS = Environment(
    (SDK, "ollama", "groq", "opentelemetry-instrumentation-ollama", "opentelemetry-instrumentation-groq")
)  # fmt: skip
AUTOGEN = Environment(
    (SDK, "autogen-agentchat", "autogen-ext[openai]", "openinference-instrumentation-autogen-agentchat")
)  # fmt: skip
STRANDS = Environment((SDK, "strands-agents[openai]"))
SEMANTIC_KERNEL = Environment((SDK, "semantic-kernel"))
LANGSMITH = Environment((SDK, "langsmith[otel]", "langchain", "langchain-openai"))
ADK = Environment((SDK, "google-adk", "litellm"))
CREWAI = Environment(
    (
        SDK, "crewai", "openinference-instrumentation-crewai", "openinference-instrumentation-openai",
        "opentelemetry-instrumentation-crewai", "opentelemetry-instrumentation-openai",
    )
)  # fmt: skip
OPENLIT_LANGCHAIN = Environment((SDK, "openlit>=1.36", "langchain", "langchain-openai"))
LLAMA_INDEX_OTEL = Environment((SDK, "llama-index-core", "llama-index-observability-otel"))

RECORDINGS: dict[str, tuple[Environment, tuple[str, ...]]] = {
    "openinference-langgraph": (LANGGRAPH, ("langgraph_app.py", "openinference")),
    "openllmetry-langgraph": (LANGGRAPH, ("langgraph_app.py", "openllmetry")),
    "double-openllmetry-langgraph-plus-openai": (LANGGRAPH, ("langgraph_app.py", "openllmetry+openai")),
    "openinference-litellm": (LITELLM, ("litellm_app.py",)),
    "openinference-smolagents": (AGENTS, ("smolagents_app.py",)),
    "openinference-agno": (AGENTS, ("agno_app.py",)),
    "openinference-dspy": (DSPY, ("dspy_app.py",)),
    "openinference-haystack": (HAYSTACK, ("haystack_app.py",)),
    "milvus-openllmetry": (MILVUS, ("milvus_app.py",)),
    "openlit-chroma": (OPENLIT, ("openlit_app.py",)),
    "otel-genai-pydantic-ai": (PYDANTIC, ("pydantic_ai_app.py",)),
    "openllmetry-old-openai": (OLD, ("old_names_app.py", "openai")),
    "openllmetry-old-langchain": (OLD, ("old_names_app.py", "langchain")),
    "openllmetry-old-langchain-plus-openai": (OLD, ("old_names_app.py", "both")),
    "fastapi-qdrant-openllmetry": (STORES, ("stores_app.py", "qdrant")),
    "fastapi-chroma-openllmetry": (STORES, ("stores_app.py", "chroma")),
    "openllmetry-anthropic": (CLIENTS, ("clients_app.py", "anthropic", "openllmetry")),
    "openllmetry-mistral": (CLIENTS, ("clients_app.py", "mistral", "openllmetry")),
    "openllmetry-cohere": (CLIENTS, ("clients_app.py", "cohere", "openllmetry")),
    "openinference-bedrock": (CLIENTS, ("clients_app.py", "bedrock", "openinference")),
    "double-openinference-langchain-served": (
        LANGCHAIN,
        ("langchain_app.py", "openinference+openai", "served", "masked"),
    ),
    "openllmetry-langchain-rich": (LANGCHAIN, ("langchain_app.py", "openllmetry", "", "masked")),
    "openllmetry-llama-index-rich": (LLAMA_INDEX, ("llama_index_app.py", "openllmetry+openai", "masked")),
    "openinference-openai-agents": (OPENAI_AGENTS, ("openai_agents_app.py", "openinference", "responses")),
    "openinference-haystack-hybrid": (HAYSTACK_2, ("haystack_hybrid_app.py", "openinference")),
    "langfuse-sdk": (SDKS, ("sdk_app.py", "langfuse")),
    "logfire-sdk": (SDKS, ("sdk_app.py", "logfire")),
    "mlflow-sdk": (MLFLOW, ("sdk_app.py", "mlflow")),
    "openllmetry-lancedb": (VECTOR_CLIENTS, ("vector_clients_app.py", "lancedb")),
    "openllmetry-pinecone": (VECTOR_CLIENTS, ("vector_clients_app.py", "pinecone")),
    "openllmetry-weaviate": (WEAVIATE, ("vector_clients_app.py", "weaviate")),
    "openllmetry-old-qdrant": (OLDER, ("vector_clients_app.py", "qdrant")),
    "openllmetry-ollama": (LOCAL_CLIENTS, ("clients_app.py", "ollama", "openllmetry")),
    "openllmetry-groq": (LOCAL_CLIENTS, ("clients_app.py", "groq", "openllmetry")),
    "openinference-old-langchain": (OLD_LANGCHAIN, ("old_frameworks_app.py", "langchain")),
    "openinference-old-llama-index": (OLD_LLAMA_INDEX, ("old_frameworks_app.py", "llama_index")),
    "openinference-autogen": (AUTOGEN, ("autogen_app.py",)),
    "otel-genai-strands": (STRANDS, ("agents_app.py", "strands")),
    "otel-genai-semantic-kernel": (SEMANTIC_KERNEL, ("agents_app.py", "semantic_kernel")),
    "openlit-langchain": (OPENLIT_LANGCHAIN, ("old_frameworks_app.py", "openlit")),
    "llama-index-otel": (LLAMA_INDEX_OTEL, ("old_frameworks_app.py", "llama_index_otel")),
    "google-adk": (ADK, ("agents_app.py", "adk")),
    "openinference-crewai": (CREWAI, ("crewai_app.py", "openinference")),
    "openllmetry-crewai": (CREWAI, ("crewai_app.py", "openllmetry")),
    "langsmith-langchain": (LANGSMITH, ("agents_app.py", "langsmith")),
    "langsmith-chain": (LANGSMITH, ("old_frameworks_app.py", "langsmith")),
    "otel-genai-google": (OFFICIAL, ("clients_app.py", "google", "otel")),
    "otel-genai-openai-app": (OFFICIAL, ("openai_client_app.py", "new")),
    "otel-genai-old-openai": (OLD_OFFICIAL, ("openai_client_app.py", "old")),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(RECORDINGS))
    names = parser.parse_args().names or list(RECORDINGS)
    unknown = sorted(set(names) - RECORDINGS.keys())
    if unknown:
        parser.error(f"no recording {unknown[0]!r}; there are {', '.join(RECORDINGS)}")
    with tempfile.TemporaryDirectory(prefix="recordings-") as folder:
        made: dict[Environment, Path] = {}
        for name in names:
            environment, (program, *options) = RECORDINGS[name]
            if environment not in made:
                made[environment] = _install(environment, Path(folder) / f"env-{len(made)}")
            _run(made[environment], program, [name, *options], Path(folder))
            _keep(name, Path(folder))
    return 0


def _install(environment: Environment, home: Path) -> Path:
    sys.stderr.write(f"installing {' '.join(environment.packages)}\n")
    subprocess.run([sys.executable, "-m", "venv", home], check=True)
    python = home / "bin" / "python"
    quiet = ("-q", "--disable-pip-version-check")
    subprocess.run([python, "-m", "pip", *quiet, "install", *environment.packages], check=True)
    return python


def _run(python: Path, program: str, options: list[str], out: Path) -> None:
    sys.stderr.write(f"recording {options[0]}\n")
    variables = {
        **os.environ,
        "RECORDINGS": str(out),
        "PYTHONPATH": str(HERE),
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "1000",
        "HOME": str(out),
        "NO_PROXY": "127.0.0.1",
    }
    subprocess.run([python, HERE / "programs" / program, *options], check=True, env=variables, timeout=300)


def _keep(name: str, out: Path) -> None:
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / f"{name}.otlp.jsonl").write_bytes((out / f"{name}.otlp.jsonl").read_bytes())
    path = GOLDEN / "expected.json"
    truths = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    truths[name] = json.loads((out / f"{name}.truth.json").read_text(encoding="utf-8"))
    path.write_text(json.dumps(dict(sorted(truths.items())), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
