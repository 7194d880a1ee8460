"""What can go wrong between a caller and a model: one named error for each cause."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

CANCELLED = "cancelled"


class EngineError(Exception):
    """A request that got no answer, or not a whole one.

    Args:
        status: HTTP status code that the caller sees.
        code: machine-readable cause, one of those in docs/engine.md.
        message: what is wrong and what to do about it, for people; never prompt or answer text.
        param: dotted name of the request field that is wrong, if one is.
        retry_after: whole seconds after which another try makes sense, if one does.
    """

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        param: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        """Fill in the error."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.param = param
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """The error as an OpenAI error object."""
        kind = "invalid_request_error" if self.status < 500 else "server_error"
        return {
            "error": {
                "message": self.message,
                "type": kind,
                "code": self.code,
                "param": self.param,
            }
        }

    @classmethod
    def from_body(
        cls, status: int, body: Mapping[str, Any], retry_after: int | None = None
    ) -> EngineError:
        """Read an OpenAI error object back; unknown shapes become code `engine_error`."""
        error = body.get("error")
        if not isinstance(error, Mapping):
            error = {}
        return EngineError(
            status,
            str(error.get("code") or "engine_error"),
            str(error.get("message") or "The engine gave no reason."),
            error.get("param"),
            retry_after,
        )


class BadRequestError(EngineError):
    """A field of the request is missing, wrong or beyond a limit."""

    def __init__(self, param: str | None, message: str, code: str = "invalid_value") -> None:
        """Fill in the error."""
        super().__init__(400, code, message, param)


class ContextOverflowError(BadRequestError):
    """Prompt and answer together do not fit the model's context."""

    def __init__(self, param: str, message: str) -> None:
        """Fill in the error."""
        super().__init__(param, message, "context_length_exceeded")


class UnknownModelError(EngineError):
    """The request names a model that has no manifest here."""

    def __init__(self, name: str) -> None:
        """Fill in the error."""
        shown = name[:80]
        super().__init__(
            404,
            "model_not_found",
            f"There is no model {shown!r} here; GET /v1/models lists those that are.",
            "model",
        )


class NotActivatedError(EngineError):
    """The model was imported, but nobody has activated it yet."""

    def __init__(self, name: str) -> None:
        """Fill in the error."""
        super().__init__(
            404,
            "model_not_activated",
            f"Model {name!r} was imported and waits for the operator:"
            f" cloister model activate {name} --alias NAME.",
            "model",
        )


class UnknownAliasError(EngineError):
    """The alias that is to be changed does not exist."""

    def __init__(self, alias: str) -> None:
        """Fill in the error."""
        super().__init__(
            404,
            "alias_not_found",
            f"There is no alias {alias[:80]!r} here; see: cloister model alias list.",
        )


class AliasRefusedError(EngineError):
    """An alias can not be changed in the way that was asked for."""

    def __init__(self, message: str) -> None:
        """Fill in the error."""
        super().__init__(409, "alias_refused", message)


class AliasNotKeptError(EngineError):
    """The file of the aliases could not be written, so no alias was moved."""

    def __init__(self, reason: str) -> None:
        """Fill in the error."""
        super().__init__(
            503,
            "alias_not_kept",
            f"The aliases could not be written ({reason}), so none was moved; run: cloister doctor",
        )


class NotOperatorError(EngineError):
    """The caller is neither the engine's own user nor root."""

    def __init__(self) -> None:
        """Fill in the error."""
        super().__init__(
            403,
            "not_operator",
            "Only the user that runs the engine may do this; run the command as that user.",
        )


class SmokeError(EngineError):
    """A model was loaded, but did not answer its first small request as it should."""

    def __init__(self, name: str, reason: str) -> None:
        """Fill in the error."""
        super().__init__(
            503, "smoke_failed", f"Model {name!r} runs, but its first answer failed: {reason}"
        )


class UnknownRequestError(EngineError):
    """No live request has the id that is to be cancelled."""

    def __init__(self) -> None:
        """Fill in the error."""
        super().__init__(
            404, "request_not_found", "No live request has this id; it may have ended already."
        )


class IncapableModelError(EngineError):
    """The model can not do what the address asks for."""

    def __init__(self, name: str, wanted: str, able: Collection[str]) -> None:
        """Fill in the error; `wanted` and `able` are capabilities of a manifest."""
        can = ", ".join(able)
        super().__init__(
            400,
            "model_incapable",
            f"Model {name!r} can not {wanted}; it can: {can}. Ask a model with the capability"
            f" {wanted!r}; GET /v1/models lists them.",
            "model",
        )


class RequestCancelledError(EngineError):
    """Somebody cancelled the request before its answer was there."""

    def __init__(self) -> None:
        """Fill in the error."""
        super().__init__(409, CANCELLED, "The request was cancelled; ask again.")


class QueueFullError(EngineError):
    """More requests wait than the engine is set to hold."""

    def __init__(self, limit: int, retry_after: int) -> None:
        """Fill in the error."""
        super().__init__(
            503,
            "queue_full",
            f"All sequences are busy and {limit} requests wait already; try again later.",
            retry_after=retry_after,
        )


class ModelNotReadyError(EngineError):
    """The model is being loaded or restarted."""

    def __init__(self, name: str, retry_after: int) -> None:
        """Fill in the error."""
        super().__init__(
            503,
            "model_not_ready",
            f"Model {name!r} is being loaded; try again shortly.",
            retry_after=retry_after,
        )


class ModelFailedError(EngineError):
    """The model can not be loaded; GET /v1/models carries the reason."""

    def __init__(self, name: str, reason: str, retry_after: int) -> None:
        """Fill in the error."""
        super().__init__(
            503,
            "model_failed",
            f"Model {name!r} can not be loaded: {reason}",
            retry_after=retry_after,
        )


class NoRoomError(EngineError):
    """The model is not loaded, and there is no room for it beside those that are."""

    def __init__(self, name: str, reason: str, retry_after: int) -> None:
        """Fill in the error."""
        super().__init__(
            503,
            "no_room",
            f"Model {name!r} can not answer now: {reason} Try again shortly.",
            retry_after=retry_after,
        )
        self.reason = reason


class NotBesideError(EngineError):
    """The model that an alias is to point at has no room beside the one that it points at now."""

    def __init__(self, alias: str, present: str, model: str, reason: str) -> None:
        """Fill in the error."""
        super().__init__(
            503,
            "no_room_beside",
            f"{reason} Both do not fit, so alias {alias!r} was not moved. To stop {present!r} first"
            f" and load {model!r} then, give the same command with --stop-first; requests for"
            f" {alias!r} wait meanwhile.",
        )


class GaveUpError(EngineError):
    """The request was cancelled while it waited until its model was loaded."""

    def __init__(self) -> None:
        """Fill in the error."""
        super().__init__(503, "cancelled", "The request was cancelled before any model had it.")


class RunnerDiedError(EngineError):
    """The process that ran the model ended in the middle of the request."""

    def __init__(self, name: str, retry_after: int) -> None:
        """Fill in the error."""
        super().__init__(
            503,
            "runner_died",
            f"The process of model {name!r} ended during the request; it is being restarted.",
            retry_after=retry_after,
        )


class DecodeError(EngineError):
    """llama.cpp refused or failed to decode a batch."""

    def __init__(self, message: str) -> None:
        """Fill in the error."""
        super().__init__(500, "decode_failed", message)


class SchemaViolationError(EngineError):
    """The finished answer does not validate against the schema that was asked for."""

    def __init__(self, path: str) -> None:
        """Fill in the error."""
        super().__init__(
            500,
            "schema_violation",
            f"The answer does not validate against the schema at {path}; ask again.",
            "response_format",
        )


class EngineUnavailableError(EngineError):
    """Nobody answers on the engine's socket."""

    def __init__(self) -> None:
        """Fill in the error."""
        super().__init__(
            503,
            "engine_unavailable",
            "The engine does not answer on its socket; check that its service runs.",
            retry_after=5,
        )


class EngineTimeoutError(EngineError):
    """The engine did not answer in time."""

    def __init__(self, seconds: float) -> None:
        """Fill in the error."""
        super().__init__(
            504, "engine_timeout", f"The engine did not answer within {seconds:g} seconds."
        )


class BrokenAnswerError(EngineError):
    """The engine's connection ended before the answer did."""

    def __init__(self) -> None:
        """Fill in the error."""
        super().__init__(
            503,
            "runner_died",
            "The connection to the engine ended before the answer did; ask again.",
            retry_after=2,
        )


class ModelLoadError(Exception):
    """The file is no GGUF, is cut off or damaged, or does not fit in memory."""


class OptionsError(ValueError):
    """Two engine settings contradict each other; names both and what to change."""


class SocketInUseError(Exception):
    """Another process answers on the socket that this one should open."""


class AliasFileError(Exception):
    """The file of the aliases is there, but can not be read or understood."""
