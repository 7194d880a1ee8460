"""The one settings object: read once at start-up, frozen, passed in."""

from __future__ import annotations

import hashlib
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, IPvAnyNetwork
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

# sun_path holds 108 bytes with the closing NUL (unix(7)); the longest of our socket names takes 48.
_LONGEST_RUN_DIR = 58

CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
"""Number formats that llama.cpp offers for a KV cache."""


class Settings(BaseSettings):
    """Everything that an operator may set. Environment `CLOISTER_*` wins over `appliance.toml`.

    The tree under `state` mirrors a host's: `etc/cloister`, `srv/cloister/models`,
    `var/lib/cloister/{web,engine,audit}`, `var/lib/cloister-head`, `run/cloister`. On an installed
    host `state` is `/`.
    """

    model_config = SettingsConfigDict(env_prefix="CLOISTER_", frozen=True, extra="forbid")

    state: Path = Field(Path("var"), description="Root of the state tree; / on a host.")
    host: str = Field("127.0.0.1", description="Address that the web process listens on.")
    port: int = Field(8080, ge=1, le=65535, description="Port that the web process listens on.")
    appliance_id: str = Field(
        "cloister-demo",
        pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$",
        description="Name of this appliance in the log's origin.",
    )

    https: bool = Field(
        False, description="People reach the pages by HTTPS; TLS ends in front of the web process."
    )
    web_names: tuple[str, ...] = Field(
        (), description="Host names that people reach the pages by, besides loopback and `host`."
    )
    metrics_networks: tuple[IPvAnyNetwork, ...] = Field(
        ("127.0.0.0/8", "::1/128"),
        validate_default=True,
        description="Networks that may read /metrics and the parts of /readyz.",
    )
    web_workers: int = Field(1, ge=1, le=16, description="gunicorn worker processes.")
    web_threads: int = Field(32, ge=4, le=256, description="Threads of each web worker.")
    session_idle_minutes: int = Field(30, ge=1, description="A session ends after so long unused.")
    session_hours: int = Field(12, ge=1, description="A session ends after so long in any case.")

    disk_minimum_mib: int = Field(
        512, ge=0, description="Free MiB on the state tree's disk below which nothing starts."
    )

    audit_grade: Literal["default", "strict"] = Field(
        "default", description="strict: every piece of an answer is recorded before it is shown."
    )
    audit_quota_mib: int = Field(
        0, ge=0, description="MiB that the log's database may have; 0 means its disk."
    )
    audit_warn_percent: int = Field(
        80, ge=1, le=100, description="A disk of the log or its quota so full is reported."
    )
    audit_stop_percent: int = Field(
        95, ge=1, le=100, description="A disk of the log or its quota so full ends prompts."
    )
    audit_ballast_mib: int = Field(
        64, ge=0, description="MiB kept on the log's disk to record the end and the clean-up."
    )

    audit_forward: str = Field(
        "",
        pattern=r"^((tcp|tls|udp)://\S+:[0-9]+)?$",
        description="Log host that gets a line of each record: tls://10.0.0.5:6514; or none.",
    )
    audit_forward_ca: str = Field(
        "", description="File of the authority that vouches for the log host; or the system's."
    )
    audit_forward_name: str = Field(
        "", description="Name in the log host's certificate; or its address."
    )

    converter: str = Field(
        "", description="Folder of llama.cpp's converter, to import Hugging Face folders; or none."
    )

    audit_short_days: int = Field(
        0,
        ge=0,
        description="Days that the log keeps contents of class short; 0: for ever.",
    )
    audit_standard_days: int = Field(
        0, ge=0, description="The same for the class standard: prompts and answers without another."
    )
    audit_long_days: int = Field(
        0, ge=0, description="The same for the class long: sign-ins, changes, looks at the log."
    )

    engine_threads: int = Field(0, ge=0, description="Threads of a runner; 0 means all cores.")
    engine_sequences: int = Field(16, ge=1, le=64, description="Requests decoded at the same time.")
    engine_context: int = Field(
        0, ge=0, description="Tokens of the KV cache that all sequences share; 0 means 4 requests."
    )
    engine_queue: int = Field(64, ge=0, description="Requests that may wait before a 503.")
    engine_step_tokens: int = Field(
        256, ge=16, description="Tokens that one decode step carries at most (prefill pieces)."
    )
    engine_prefixes: int = Field(
        8, ge=0, le=64, description="Beginnings of prompts kept in the KV cache; 0 keeps none."
    )
    engine_draft: int = Field(
        15, ge=0, le=64, description="Tokens guessed from the prompt at once; 0 guesses none."
    )
    engine_exact: bool = Field(
        False, description="Cells of its own for each sequence: answers repeat to the last bit."
    )
    engine_gpu_layers: int = Field(
        0, ge=-1, le=10_000, description="Layers that a GPU computes; -1 means all, 0 none."
    )
    engine_flash_attention: Literal["auto", "on", "off"] = Field(
        "auto", description="Attention without a matrix of scores; auto where llama.cpp can."
    )
    engine_cache_type_k: CacheType = Field("f16", description="Number format of cached keys.")
    engine_cache_type_v: CacheType = Field(
        "f16", description="Number format of cached values; quantised ones need flash attention."
    )
    engine_memory_mib: int = Field(
        0, ge=0, description="MiB that all loaded models may take together; 0 means what is free."
    )
    engine_wait_seconds: int = Field(
        60, ge=0, le=3600, description="A request waits so long for its model before a 503."
    )
    engine_pinned: tuple[str, ...] = Field(
        (), description="Models and aliases that are never stopped to make room for another."
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: explicit arguments, environment, then the file of the state tree."""
        given: dict[str, Any] = {**env_settings(), **init_settings()}
        state = Path(given.get("state", "var"))
        file = TomlConfigSettingsSource(settings_cls, state / "etc/cloister/appliance.toml")
        return init_settings, env_settings, file

    @cached_property
    def root(self) -> Path:
        """The state tree as an absolute path."""
        return self.state.absolute()

    @property
    def etc(self) -> Path:
        """Configuration: `appliance.toml`, `officers.json`."""
        return self.root / "etc/cloister"

    @property
    def models(self) -> Path:
        """Model manifests and weights."""
        return self.root / "srv/cloister/models"

    @property
    def quarantine(self) -> Path:
        """Models on their way in; nothing in it is ever served."""
        return self.models.parent / "quarantine"

    @property
    def web(self) -> Path:
        """The app database and what else only the web process writes."""
        return self.root / "var/lib/cloister/web"

    @property
    def engine(self) -> Path:
        """What the engine keeps: the aliases of models."""
        return self.root / "var/lib/cloister/engine"

    @property
    def audit(self) -> Path:
        """The log: only the audit writer writes here."""
        return self.root / "var/lib/cloister/audit"

    @property
    def head_log(self) -> Path:
        """The log's head, on another filesystem on an installed host."""
        return self.root / "var/lib/cloister-head/head.log"

    @property
    def forward(self) -> Path:
        """How far the log host was told; only the forwarder writes here."""
        return self.root / "var/lib/cloister/forward/position.json"

    @property
    def witness(self) -> Path:
        """What this appliance has seen of others' logs, and the key that it signs that with."""
        return self.root / "var/lib/cloister/witness"

    @property
    def logs(self) -> Path:
        """Operational logs of the three processes; no prompt, answer or secret is in them."""
        return self.root / "var/log/cloister"

    @property
    def officers(self) -> Path:
        """Public keys of the two officer groups."""
        return self.etc / "officers.json"

    @property
    def log_vkey(self) -> Path:
        """Verifier key of the log, kept at the first start; officers keep a copy of their own."""
        return self.etc / "log.vkey"

    @cached_property
    def run(self) -> Path:
        """Sockets and lock files; a short private folder where the tree's path is too long."""
        wanted = self.root / "run/cloister"
        if len(str(wanted)) <= _LONGEST_RUN_DIR:
            return wanted
        tag = hashlib.sha256(str(self.root).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"cloister-{tag}"

    @property
    def engine_socket(self) -> Path:
        """The engine supervisor's socket."""
        return self.run / "engine.sock"

    @property
    def audit_socket(self) -> Path:
        """The audit writer's socket."""
        return self.run / "audit.sock"

    @property
    def database_url(self) -> str:
        """SQLAlchemy URL of the app database."""
        return f"sqlite:///{self.web / 'app.db'}"
