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

from appliance.catalogue.architectures import Nature, nature_of
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
_get_embeddings = _hold("llama_get_embeddings")
_get_logits.restype = _get_embeddings.restype = ctypes.c_void_p


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
    """A model in memory with its one context.

    Args:
        path: the weights file.
        architecture: llama.cpp's name of it.
        memory: of the KV cache; None for an encoder.
        width: elements of a token's final state.
        trained: tokens of a text that it was trained for.
        kv_tokens: cells of the KV cache; of an encoder, tokens of one step.
        shared: one KV cache for all sequences, so that they can share cells.
    """

    path: Path
    model: Any
    context: Any
    memory: Any
    vocab: Any
    architecture: str
    vocabulary_size: int
    width: int
    trained: int
    kv_tokens: int
    sequence_tokens: int  # of them, for one sequence at most
    shared: bool  # one KV cache for all sequences, so that they can share cells

    @property
    def nature(self) -> Nature:
        """How the model works."""
        return nature_of(self.architecture)

    def decode(self, batch: Any) -> int:  # noqa: ANN401 - a ctypes structure
        """Run one batch; llama.cpp's return code (0 good, 1 no room in the KV cache)."""
        code: int = lib.llama_decode(self.context, batch)
        return code

    def encode(self, batch: Any) -> int:  # noqa: ANN401 - a ctypes structure
        """Run one batch through the encoder; llama.cpp's return code (0 good)."""
        code: int = lib.llama_encode(self.context, batch)
        return code

    def logits(self, rows: int) -> NDArray[np.float32]:
        """The last step's logits, one row an output in batch order; a view that may be written."""
        return _matrix(_get_logits(self.context), rows, self.vocabulary_size)

    def states(self, rows: int) -> NDArray[np.float32]:
        """Final states of the last encoded batch, one row a token; a view, valid until the next."""
        return _matrix(_get_embeddings(self.context), rows, self.width)

    def metadata(self, key: str) -> str | None:
        """A text or number of the GGUF's metadata as text, None if it has no such key."""
        return _metadata(self.model, key)

    def free(self) -> None:
        """Give all memory back; nothing of this object may be used afterwards."""
        lib.llama_free(self.context)
        lib.llama_model_free(self.model)


def _matrix(address: int, rows: int, columns: int) -> NDArray[np.float32]:
    """A view of llama.cpp's numbers, made without the checks of NumPy's own way, once a step."""
    numbers = (ctypes.c_char * (4 * rows * columns)).from_address(address)
    return np.ndarray((rows, columns), np.float32, memoryview(numbers))


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
    architecture = _metadata(model, "general.architecture") or ""
    nature = nature_of(architecture)
    fitting = options.fitting(nature, request_context)
    # A recurrent state can be neither cut nor shared in parts.
    whole = lib.llama_model_is_recurrent(model) or lib.llama_model_is_hybrid(model)
    context = lib.llama_init_from_model(model, _context_params(nature, request_context, fitting))
    if not context:
        lib.llama_model_free(model)
        raise ModelLoadError(
            f"No context for {path.name!r}: {log.cause()};"
            " lower engine_context or engine_sequences, or see engine_flash_attention,"
            " engine_cache_type_k and engine_cache_type_v."
        )
    vocab = lib.llama_model_get_vocab(model)
    return Loaded(
        path=path,
        model=model,
        context=context,
        memory=lib.llama_get_memory(context),
        vocab=vocab,
        architecture=architecture,
        vocabulary_size=lib.llama_vocab_n_tokens(vocab),
        width=lib.llama_model_n_embd_out(model),
        trained=lib.llama_model_n_ctx_train(model),
        kv_tokens=lib.llama_n_ctx(context),
        sequence_tokens=lib.llama_n_ctx_seq(context),
        shared=not (fitting.exact or whole),
    )


@dataclass(eq=False)
class Adapter:
    """A LoRA adapter in memory, beside its base model.

    Args:
        name: of its manifest.
        digest: SHA-256 of its file.
        handle: llama.cpp's pointer; the model frees it.
        is_spoilt: whether it made probabilities that are no numbers.
    """

    name: str
    digest: str
    handle: Any
    is_spoilt: bool = False


def load_adapter(model: Any, path: Path) -> Any:  # noqa: ANN401 - pointers
    """Load an adapter; no step may run meanwhile, since steps are sized by what is loaded.

    Raises:
        ModelLoadError: llama.cpp refuses the file.
    """
    handle = lib.llama_adapter_lora_init(model, str(path).encode())
    if not handle:
        raise ModelLoadError(f"llama.cpp refuses the adapter {path.name!r} for this model.")
    return handle


def use_adapter(context: Any, adapter: Adapter | None) -> None:  # noqa: ANN401 - a pointer
    """Apply an adapter, or none, to all steps from now on."""
    if adapter is None:
        lib.llama_set_adapters_lora(context, None, 0, None)
    else:
        handles = (lib.llama_adapter_lora_p_ctypes * 1)(adapter.handle)
        lib.llama_set_adapters_lora(context, handles, 1, (ctypes.c_float * 1)(1.0))


def tokenise(vocab: Any, text: str, with_marks: bool) -> list[int]:  # noqa: ANN401 - a pointer
    """The tokens of a text, in which no spelling of a control token means that token.

    Args:
        vocab: of a loaded model.
        text: of any length.
        with_marks: whether the marks of beginning and end stand around it, as the model has them.
    """
    raw = text.encode()
    room = len(raw) + 8
    while True:
        tokens = (lib.llama_token * room)()
        count = lib.llama_tokenize(vocab, raw, len(raw), tokens, room, with_marks, False)
        if count >= 0:
            return tokens[:count]
        room = -count


def _metadata(model: Any, key: str) -> str | None:  # noqa: ANN401 - a pointer
    size = lib.llama_model_meta_val_str(model, key.encode(), None, 0)
    if size < 0:
        return None
    buffer = ctypes.create_string_buffer(size + 1)
    lib.llama_model_meta_val_str(model, key.encode(), buffer, size + 1)
    return buffer.raw[:size].decode("utf-8", "replace")


def _model_params(options: EngineOptions) -> Any:  # noqa: ANN401 - a ctypes structure
    params = lib.llama_model_default_params()
    params.n_gpu_layers = options.gpu_layers  # below 0 are all, for llama.cpp too
    params.check_tensors = True  # the file is hostile input: no NaN, no infinite scale
    return params


def _context_params(nature: Nature, request_context: int, options: EngineOptions) -> Any:  # noqa: ANN401 - as above
    params = lib.llama_context_default_params()
    params.n_threads = params.n_threads_batch = options.thread_count
    # One step is one piece for llama.cpp too, so its outputs keep the order of the batch.
    if nature is Nature.ENCODER:
        params.n_ctx = params.n_batch = params.n_ubatch = options.reading_tokens(request_context)
        params.n_seq_max = options.reading_texts
        params.kv_unified = True
        params.flash_attn_type = _FLASH[options.flash_attention]
        params.embeddings = True
        # Each token's state comes out; what is made of them depends on the request.
        params.pooling_type = lib.LLAMA_POOLING_TYPE_NONE
        return params
    shared = not options.exact
    params.n_ctx = options.kv_tokens(request_context)
    params.n_batch = params.n_ubatch = options.step_capacity
    params.n_seq_max = options.slots
    params.n_outputs_max = options.outputs
    params.kv_unified = shared
    params.flash_attn_type = _FLASH[options.flash_attention]
    params.type_k = _TYPES[options.cache_type_k]
    params.type_v = _TYPES[options.cache_type_v]
    return params
