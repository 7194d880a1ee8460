"""What an encoder found in texts: an answer that comes whole, without a text of its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from appliance.tasks.work import Kind


@dataclass
class Found:
    """The vectors or classes of one request; empty until the engine has answered.

    Args:
        kind: which of the two was asked for.
    """

    kind: Kind
    answer: Mapping[str, Any] = field(default_factory=dict)
    text: str = ""
    finish_reason: str = ""

    @property
    def usage(self) -> Mapping[str, Any]:
        """OpenAI's token counts."""
        found: Mapping[str, Any] = self.answer.get("usage") or {}
        return found

    def content(self) -> dict[str, Any]:
        """What the log keeps: classes as they are; of vectors their number and digest.

        Vectors are large, and the same weights make the same ones of the recorded texts.
        """
        data = self.answer.get("data") or []
        if self.kind is Kind.CLASSIFICATION:
            return {"classifications": list(data)}
        text = json.dumps([each["embedding"] for each in data], separators=(",", ":"))
        return {"vectors": len(data), "sha256": hashlib.sha256(text.encode()).hexdigest()}

    def body(self) -> dict[str, Any]:
        """The whole answer as the API gives it."""
        return dict(self.answer)
