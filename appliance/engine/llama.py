"""The part of llama.cpp that the runner uses: one model, one context, and calls made per step.

`llama_decode` releases the interpreter lock, so that the HTTP front works meanwhile. All short
calls go through `ctypes.PyDLL`, which keeps the lock: taking it back after each of them could cost
a whole switch interval, many times a step.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as lib
import numpy as np
from numpy.typing import NDArray

from appliance.catalogue.quantisation import QUANTISATIONS
from appliance.engine.errors import ModelLoadError
from appliance.engine.options import EngineOptions

_ERROR = 4  # enum ggml_log_level
_LOG_LINES = 20
_LINE_CHARS = 300

_FLASH = {
    "auto": lib.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": lib.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": lib.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}

_TYPES = {kind.name.lower(): number for number, kind in QUANTISATIONS.items()}

_held = ctypes.PyDLL(lib._lib._name)


def _hold(name: str) -> Any:  # noqa: ANN401 - a ctypes function has no static type
    function = getattr(_held, name)
    source = getattr(lib._lib, name)
    function.argtypes, function.restype = source.argtypes, source.restype
    return function


sampler_sample = _hold("llama_sampler_sample")
sampler_accept = _hold("llama_sampler_accept")
memory_clear = _hold("llama_memory_clear")
memory_seq_rm = _hold("llama_memory_seq_rm")
memory_seq_cp = _hold("llama_memory_seq_cp")
_get_logits = _hold("llama_get_logits")


class LogTail:
    """The first errors of llama.cpp since the start; at this level it logs no prompt text."""

    def __init__(self) -> None:
        """Start empty; `install` makes llama.cpp write here."""
        self._lines: list[str] = []
        self._callback = lib.llama_log_callback(self._take)

    def install(self) -> None:
        """Take over llama.cpp's log for the whole process."""
        lib.llama_log_set(self._callback, ctypes.c_void_p(0))

    def cause(self) -> str:
        """What went wrong first; later lines only pass it on."""
        return self._lines[0] if self._lines else "no reason given"

    def _take(self, level: int, text: bytes | None, _data: object) -> None:
        if level == _ERROR and text and len(self._lines) < _LOG_LINES:
            line = text.decode("utf-8", "replace").strip()[:_LINE_CHARS]
            if line:
                self._lines.append(line)


def engine_build() -> str:
    """Versions that decide what a seed gives: llama.cpp, its binding and llguidance."""
    return (
        f"llama.cpp/{lib.llama_version().decode()} "
        f"llama-cpp-python/{version('llama-cpp-python')} llguidance/{version('llguidance')}"
    )


@dataclass(frozen=True)
class Loaded:
    """A model in memory with its one context."""

    model: Any
    context: Any
    memory: Any
    vocab: Any
    vocabulary_size: int
    kv_tokens: int
    sequence_tokens: int  # of them, for one sequence at most
    shared: bool  # one KV cache for all sequences, so that they can share cells

    def decode(self, batch: Any) -> int:  # noqa: ANN401 - a ctypes structure
        """Run one batch; llama.cpp's return code (0 good, 1 no room in the KV cache)."""
        code: int = lib.llama_decode(self.context, batch)
        return code

    def logits(self, rows: int) -> NDArray[np.float32]:
        """The last step's logits, one row an output in batch order; a view that may be written."""
        pointer = _get_logits(self.context)
        return np.ctypeslib.as_array(pointer, (rows, self.vocabulary_size))

    def metadata(self, key: str) -> str | None:
        """A text of the GGUF's metadata, None if it has no such key."""
        size = lib.llama_model_meta_val_str(self.model, key.encode(), None, 0)
        if size < 0:
            return None
        buffer = ctypes.create_string_buffer(size + 1)
        lib.llama_model_meta_val_str(self.model, key.encode(), buffer, size + 1)
        return buffer.raw[:size].decode("utf-8", "replace")

    def free(self) -> None:
        """Give all memory back; nothing of this object may be used afterwards."""
        lib.llama_free(self.context)
        lib.llama_model_free(self.model)


def load(path: Path, request_context: int, options: EngineOptions, log: LogTail) -> Loaded:
    """Load a model and make its context.

    Args:
        path: the GGUF file.
        request_context: tokens of one request at most.
        options: sizes.
        log: installed already; its first line explains a failure.

    Raises:
        ModelLoadError: llama.cpp refuses the file or can not get the memory.
    """
    lib.llama_backend_init()
    if options.gpu_layers != 0 and not lib.llama_supports_gpu_offload():
        raise ModelLoadError(
            f"engine_gpu_layers is {options.gpu_layers}, but llama.cpp finds no GPU here, or was"
            " built without; set it to 0, or build it for the GPU as docs/engine.md says."
        )
    model = lib.llama_model_load_from_file(str(path).encode(), _model_params(options))
    if not model:
        raise ModelLoadError(f"llama.cpp refuses {path.name!r}: {log.cause()}")
    # A recurrent state can be neither cut nor shared in parts.
    whole = lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model)
    context = lib.llama_init_from_model(model, _context_params(request_context, options))
    if not context:
        lib.llama_model_free(model)
        raise ModelLoadError(
            f"No context for {path.name!r}: {log.cause()};"
            " lower engine_context or engine_sequences, or see engine_flash_attention,"
            " engine_cache_type_k and engine_cache_type_v."
        )
    vocab = lib.llama_model_get_vocab(model)
    return Loaded(
        model=model,
        context=context,
        memory=lib.llama_get_memory(context),
        vocab=vocab,
        vocabulary_size=lib.llama_vocab_n_tokens(vocab),
        kv_tokens=lib.llama_n_ctx(context),
        sequence_tokens=lib.llama_n_ctx_seq(context),
        shared=not (options.exact or whole),
    )


def _model_params(options: EngineOptions) -> Any:  # noqa: ANN401 - a ctypes structure
    params = lib.llama_model_default_params()
    params.n_gpu_layers = options.gpu_layers  # below 0 are all, for llama.cpp too
    params.check_tensors = True  # the file is hostile input: no NaN, no infinite scale
    return params


def _context_params(request_context: int, options: EngineOptions) -> Any:  # noqa: ANN401 - as above
    params = lib.llama_context_default_params()
    params.n_ctx = options.kv_tokens(request_context)
    # One step is one piece for llama.cpp too, so its outputs keep the order of the batch.
    shared = not options.exact
    params.n_batch = params.n_ubatch = options.step_capacity
    params.n_seq_max = options.sequences + (options.prefixes if shared else 0)
    params.n_outputs_max = options.outputs
    params.n_threads = params.n_threads_batch = options.thread_count
    params.kv_unified = shared
    params.flash_attn_type = _FLASH[options.flash_attention]
    params.type_k = _TYPES[options.cache_type_k]
    params.type_v = _TYPES[options.cache_type_v]
    return params
