"""Constrained output: llguidance says which tokens may come next, and which must."""

from __future__ import annotations

import json
import threading
import warnings
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

import numpy as np
from jsonschema.protocols import Validator
from llguidance import LLMatcher, LLTokenizer
from llguidance.llamacpp import lltokenizer_from_vocab
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from numpy.typing import NDArray

from appliance.engine.errors import BadRequestError, DecodeError, SchemaViolationError
from appliance.engine.llama import Loaded
from appliance.engine.schema import check_schema, validator
from appliance.engine.vocab import Vocabulary

_KEPT = 64  # compiled schemas; a task uses the same one again and again


class CompiledSchema:
    """A schema ready for use by any number of sequences."""

    def __init__(self, matcher: LLMatcher, check: Validator) -> None:
        """Keep the unused matcher that every sequence copies."""
        self._matcher = matcher
        self._check = check

    def start(self) -> LLMatcher:
        """A matcher at the beginning of an answer."""
        return self._matcher.deep_copy()

    def validate(self, text: str) -> None:
        """Check a finished answer with another implementation than the one that shaped it.

        Raises:
            SchemaViolationError: it is no JSON or breaks the schema; names the place, not the text.
        """
        try:
            answer = json.loads(text)
        except ValueError as error:
            raise SchemaViolationError("/ (no JSON)") from error
        fault = next(iter(self._check.iter_errors(answer)), None)
        if fault is not None:
            place = "/".join(str(part) for part in fault.absolute_schema_path)
            raise SchemaViolationError(f"/{place}")


class Grammars:
    """Compiles schemas for one model and keeps the latest of them. Thread-safe."""

    def __init__(self, loaded: Loaded, vocabulary: Vocabulary) -> None:
        """Build llguidance's view of the vocabulary; takes about a second for 150,000 tokens."""
        with warnings.catch_warnings():
            # llguidance still calls llama.cpp's attributes by their old name.
            warnings.simplefilter("ignore", DeprecationWarning)
            self._tokeniser: LLTokenizer = lltokenizer_from_vocab(
                loaded.vocab, eos_token=sorted(vocabulary.ends)
            )
        self._compiled: OrderedDict[str, CompiledSchema] = OrderedDict()
        self._lock = threading.Lock()

    def compile(self, schema: Mapping[str, Any], param: str) -> CompiledSchema:
        """A schema ready for use; from memory if it was used lately.

        Raises:
            BadRequestError: the schema can not be enforced; `param` names its field.
        """
        key = json.dumps(schema)
        with self._lock:
            found = self._compiled.get(key)
            if found is not None:
                self._compiled.move_to_end(key)
                return found
        made = self._compile(schema, param)
        with self._lock:
            self._compiled[key] = made
            if len(self._compiled) > _KEPT:
                self._compiled.popitem(last=False)
        return made

    def _compile(self, schema: Mapping[str, Any], param: str) -> CompiledSchema:
        matcher = LLMatcher(self._tokeniser, check_schema(schema, param), log_level=0)
        if matcher.is_error():
            raise BadRequestError(
                param,
                f"The schema can not be enforced: {matcher.get_error()[:300]}",
                "unsupported_schema",
            )
        return CompiledSchema(matcher, validator(schema))


class GrammarState:
    """Where one sequence stands in its grammar; belongs to the thread that owns the context."""

    def __init__(self, schema: CompiledSchema, vocabulary_size: int) -> None:
        """Stand at the beginning."""
        self._matcher = schema.start()
        self._mask = allocate_token_bitmask(1, vocabulary_size)

    @property
    def finished(self) -> bool:
        """Whether the answer is complete and nothing may follow."""
        return bool(self._matcher.is_stopped())

    def restrict(self, row: NDArray[np.float32]) -> None:
        """Rule out, in place, all tokens that may not come next."""
        fill_next_token_bitmask(self._matcher, self._mask)
        allowed = np.unpackbits(self._mask.view(np.uint8), bitorder="little")[: len(row)]
        row[allowed == 0] = -np.inf

    def take(self, token: int) -> list[int]:
        """Go on by a sampled token; returns the tokens that must follow it.

        Raises:
            DecodeError: the grammar does not allow the token or became too complex.
        """
        if not self._matcher.consume_token(token):
            raise DecodeError("The grammar refused a token; ask again or simplify the schema.")
        return self.forced()

    def forced(self) -> list[int]:
        """Tokens that must come next whatever the model says; they count as taken."""
        tokens: list[int] = [] if self.finished else list(self._matcher.compute_ff_tokens())
        if tokens and not self._matcher.consume_tokens(tokens):
            raise DecodeError("The grammar refused its own tokens; simplify the schema.")
        return tokens
