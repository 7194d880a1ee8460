"""Text to tokens and back, with a wall between control tokens and what people write."""

from __future__ import annotations

import ctypes
import re
from collections.abc import Collection, Iterator

import llama_cpp.llama_cpp as lib

from appliance.engine.llama import Loaded, tokenise

_PIECE_BYTES = 64 * 1024
_APART = "\u263a"  # no vocabulary merges it with a neighbour; Code Llama's tokenizer uses it too


class Vocabulary:
    """The tokens of one loaded model. Safe for use by several threads.

    A *marker* is a token with a meaning for the model beyond its text: control tokens, whatever
    ends generation, what marks a gap, and user-defined tokens written like `<this>`. Markers are
    only ever made from a chat template's own text, never from a message or a prompt.
    `declared_infill` holds the tokens before, behind and in a gap that llama.cpp knows of; -1 for
    none.

    Args:
        loaded: the model.
        named: spellings of further markers, as its manifest names them.
        ending: those among them that end an answer.
    """

    def __init__(
        self, loaded: Loaded, named: Collection[str] = (), ending: Collection[str] = ()
    ) -> None:
        """Read the special tokens of `loaded`."""
        self._vocab = loaded.vocab
        self._named = frozenset(named)
        self._pieces: dict[int, bytes] = {}
        self.declared_infill: tuple[int, int, int] = (
            lib.llama_vocab_fim_pre(self._vocab),
            lib.llama_vocab_fim_suf(self._vocab),
            lib.llama_vocab_fim_mid(self._vocab),
        )
        self.size = loaded.vocabulary_size
        self.bos = lib.llama_vocab_bos(self._vocab)
        self.eos = lib.llama_vocab_eos(self._vocab)
        self.adds_bos = bool(lib.llama_vocab_get_add_bos(self._vocab)) and self.bos >= 0
        self.markers = {
            token: self._spelling(token) for token in range(self.size) if self._is_marker(token)
        }
        self.ends = frozenset(
            token
            for token in range(self.size)
            if lib.llama_vocab_is_eog(self._vocab, token) or self.markers.get(token) in ending
        )
        self._by_spelling = {text: token for token, text in self.markers.items() if len(text) > 1}
        self.marker_pattern = re.compile(
            "|".join(re.escape(text) for text in sorted(self._by_spelling, key=len, reverse=True))
            or r"(?!)"
        )
        self.longest_piece = max(len(self._read_piece(token, True)) for token in range(self.size))
        first = self._tokenise("x")[:1]
        self._adds_space = bool(first) and self._read_piece(first[0], False).startswith(b" ")

    def marker(self, spelling: str) -> int | None:
        """The marker of a spelling, None if there is none."""
        return self._by_spelling.get(spelling)

    def spelling(self, token: int) -> str:
        """How a marker is written in a template; empty for token ids below zero."""
        return self.markers.get(token, "")

    def piece(self, token: int) -> bytes:
        """What a token adds to an answer; nothing for markers."""
        piece = self._pieces.get(token)
        if piece is None:
            piece = b"" if token in self.markers else self._read_piece(token, False)
            self._pieces[token] = piece
        return piece

    def plain(self, text: str) -> list[int]:
        """Tokens of a text that people wrote; no token of it is a marker."""
        return self._free_of_markers(self._tokenise(text))

    def source(self, text: str) -> list[int]:
        """Tokens of a text for an encoder, with the model's mark of the end.

        What its vocabulary does not know is the token for the unknown here, as in training.
        """
        unknown = lib.LLAMA_TOKEN_ATTR_UNKNOWN
        tokens = [
            part
            for token in self._tokenise(text)
            for part in (
                [token]
                if lib.llama_vocab_get_attr(self._vocab, token) & unknown
                else self._without_marker(token)
            )
        ]
        return [*tokens, self.eos]

    def continuing(self, text: str) -> list[int]:
        """The same for a text that goes on in the middle of another.

        Some tokenizers put a space before every text, as if a word began there.
        """
        if not self._adds_space:
            return self.plain(text)
        apart = self._tokenise(_APART)
        tokens = self._tokenise(_APART + text)
        if tokens[: len(apart)] != apart:
            return self.plain(text)
        return self._free_of_markers(tokens[len(apart) :])

    def _free_of_markers(self, tokens: list[int]) -> list[int]:
        if not any(token in self.markers for token in tokens):
            return tokens
        return [part for token in tokens for part in self._without_marker(token)]

    def templated(self, text: str, guard: str) -> list[int]:
        """Tokens of a rendered template.

        Markers spelled in `text` become control tokens; where `guard` splits a spelling it came
        from a message and stays plain text. What lies between two markers is tokenised in one
        piece, as llama.cpp does, so that benign text gives the very tokens of training. Where the
        tokenizer itself puts a space before such a piece, that is the one which the template
        wrote: publishers write `[INST] text` for what is one space in training, and two would be
        another token.
        """
        tokens: list[int] = []
        for part, marker in self._split(text):
            if part:
                said = part.replace(guard, "")
                tokens += self.plain(said.removeprefix(" ") if self._adds_space else said)
            if marker is not None:
                tokens.append(marker)
        return tokens

    def _split(self, text: str) -> Iterator[tuple[str, int | None]]:
        """Plain parts of `text`, each with the marker behind it (None at the end)."""
        start, strip_next = 0, False
        for match in self.marker_pattern.finditer(text):
            marker = self._by_spelling[match.group()]
            attributes = lib.llama_vocab_get_attr(self._vocab, marker)
            part = text[start : match.start()]
            part = part.lstrip() if strip_next else part
            part = part.rstrip() if attributes & lib.LLAMA_TOKEN_ATTR_LSTRIP else part
            yield part, marker
            start, strip_next = match.end(), bool(attributes & lib.LLAMA_TOKEN_ATTR_RSTRIP)
        yield text[start:].lstrip() if strip_next else text[start:], None

    def _without_marker(self, token: int) -> list[int]:
        """The same text in smaller tokens: some vocabularies can merge letters to a marker."""
        if token not in self.markers:
            return [token]
        single = [part for letter in self.markers[token] for part in self._tokenise(letter)]
        return [part for part in single if part not in self.markers]

    def _tokenise(self, text: str) -> list[int]:
        return tokenise(self._vocab, text, with_marks=False)

    def _is_marker(self, token: int) -> bool:
        attributes = lib.llama_vocab_get_attr(self._vocab, token)
        if attributes & (lib.LLAMA_TOKEN_ATTR_CONTROL | lib.LLAMA_TOKEN_ATTR_UNKNOWN):
            return True
        if lib.llama_vocab_is_eog(self._vocab, token) or token in self.declared_infill:
            return True
        spelling = self._spelling(token)
        if spelling in self._named:
            return True
        bracketed = spelling.startswith("<") and spelling.endswith(">")
        return bool(attributes & lib.LLAMA_TOKEN_ATTR_USER_DEFINED) and bracketed

    def _spelling(self, token: int) -> str:
        text: bytes = lib.llama_vocab_get_text(self._vocab, token) or b""
        return text.decode("utf-8", "replace")

    def _read_piece(self, token: int, special: bool) -> bytes:
        buffer = ctypes.create_string_buffer(256)
        size = lib.llama_token_to_piece(self._vocab, token, buffer, 256, 0, special)
        if size < 0:
            size = min(-size, _PIECE_BYTES)
            buffer = ctypes.create_string_buffer(size)
            lib.llama_token_to_piece(self._vocab, token, buffer, size, 0, special)
        return buffer.raw[:size]
