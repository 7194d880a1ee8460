"""What is special about each architecture, at a size that a test can hold.

The sizes are small; the structure is the publisher's: the same kinds of layers, of positions, of
attention and of experts, from the configuration that the publisher shares. Needs PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import transformers as hf
from torch.nn import Parameter

LABELS = {0: "calm", 1: "urgent", 2: "spam"}
WINDOW = 16
"""Tokens of a sliding window; prompts are longer, except where it says so."""


@dataclass(frozen=True)
class Shape:
    """One model.

    Args:
        make: builds it, with whatever weights.
        vocabulary: kind of its vocabulary, see `vocabularies`.
        added: further tokens, with their numbers.
        prompt: tokens that are compared.
    """

    make: Callable[[], Any]
    vocabulary: str = "sentencepiece"
    added: tuple[tuple[str, int], ...] = ()
    prompt: int = 40


_WIDE = {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2}
_HEADS = {"num_attention_heads": 4, "max_position_embeddings": 2048}
_GROUPED = {**_HEADS, "num_key_value_heads": 2}
_SMALL = {**_WIDE, "vocab_size": 512, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": None}
_CHATML = (("<|im_start|>", 510), ("<|im_end|>", 511))
_FILL = (("\u2581<PRE>", 32007), ("\u2581<SUF>", 32008), ("\u2581<MID>", 32009))
_GPT2 = {"vocab_size": 50257, "bos_token_id": 50256, "eos_token_id": 50256, "pad_token_id": None}


def _llama(**special: Any) -> Callable[[], Any]:  # noqa: ANN401 - what LlamaConfig takes
    return lambda: hf.LlamaForCausalLM(
        hf.LlamaConfig(**{**_SMALL, **_HEADS, "num_key_value_heads": 4, **special})
    )


def _mistral(window: int | None) -> Callable[[], Any]:
    config = {**_SMALL, **_GROUPED, "sliding_window": window}
    return lambda: hf.MistralForCausalLM(hf.MistralConfig(**config))


def _mixtral() -> hf.MixtralForCausalLM:
    experts = {"num_local_experts": 8, "num_experts_per_tok": 2, "sliding_window": None}
    return hf.MixtralForCausalLM(hf.MixtralConfig(**_SMALL, **_GROUPED, **experts))


def _phi_2() -> hf.PhiForCausalLM:
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.4}
    sizes = {**_WIDE, **_GPT2, **_HEADS, "intermediate_size": 4 * 160, "hidden_size": 160}
    return hf.PhiForCausalLM(hf.PhiConfig(**sizes, rope_parameters=rope, hidden_act="gelu_new"))


def _phi_3() -> hf.Phi3ForCausalLM:
    config = {**_SMALL, **_GROUPED, "sliding_window": 2047}
    return hf.Phi3ForCausalLM(hf.Phi3Config(**config))


def _llama_3() -> hf.LlamaForCausalLM:
    """Llama 3.1 and later: positions that turn slower, each frequency by a factor of its own."""
    rope = {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 256,
    }
    made: hf.LlamaForCausalLM = _llama(num_key_value_heads=2, rope_parameters=rope)()
    return made


def _qwen_2() -> hf.Qwen2ForCausalLM:
    return hf.Qwen2ForCausalLM(hf.Qwen2Config(**_SMALL, **_GROUPED, tie_word_embeddings=True))


def _qwen_3() -> hf.Qwen3ForCausalLM:
    config = {**_SMALL, **_GROUPED, "head_dim": 64, "tie_word_embeddings": True}
    return hf.Qwen3ForCausalLM(hf.Qwen3Config(**config))


def _gemma_2() -> hf.Gemma2ForCausalLM:
    special = {"head_dim": 64, "query_pre_attn_scalar": 64, "sliding_window": WINDOW}
    return hf.Gemma2ForCausalLM(
        hf.Gemma2Config(**{**_SMALL, "eos_token_id": 2}, **_GROUPED, **special)
    )


def _gemma_3() -> hf.Gemma3ForCausalLM:
    """Seven layers: five of six have a window, and positions of their own."""
    special = {"head_dim": 64, "query_pre_attn_scalar": 64, "sliding_window": WINDOW}
    config = {**_SMALL, **_GROUPED, **special, "num_hidden_layers": 7}
    return hf.Gemma3ForCausalLM(hf.Gemma3TextConfig(**config))


def _gpt_oss() -> hf.GptOssForCausalLM:
    special = {"head_dim": 32, "num_local_experts": 4, "num_experts_per_tok": 2}
    sizes = {**_WIDE, **_GPT2, **_GROUPED, "sliding_window": WINDOW, **special}
    sizes["max_position_embeddings"] = 131_072
    return hf.GptOssForCausalLM(hf.GptOssConfig(**sizes))


def _classes() -> dict[str, Any]:
    return {"id2label": LABELS, "label2id": {label: number for number, label in LABELS.items()}}


def _distilbert() -> hf.DistilBertForSequenceClassification:
    sizes = {"dim": 64, "n_layers": 3, "n_heads": 4, "hidden_dim": 128, "vocab_size": 30522}
    return hf.DistilBertForSequenceClassification(hf.DistilBertConfig(**sizes, **_classes()))


def _tinybert() -> hf.BertForSequenceClassification:
    sizes = {"hidden_size": 104, "num_hidden_layers": 4, "num_attention_heads": 4}
    config = hf.BertConfig(**sizes, intermediate_size=200, vocab_size=30522, **_classes())
    return hf.BertForSequenceClassification(config)


def _t5(**special: Any) -> hf.T5ForConditionalGeneration:  # noqa: ANN401 - what T5Config takes
    sizes = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_decoder_layers": 2}
    config = hf.T5Config(**sizes, num_heads=4, vocab_size=512, decoder_start_token_id=0, **special)
    return hf.T5ForConditionalGeneration(config)


def _t5_small() -> hf.T5ForConditionalGeneration:
    return _t5(feed_forward_proj="relu", tie_word_embeddings=True)


def _flan_t5() -> hf.T5ForConditionalGeneration:
    """T5 1.1 and what came from it: gates, and an output matrix of its own."""
    model = _t5(feed_forward_proj="gated-gelu", tie_word_embeddings=False)
    model.config.tie_word_embeddings = False  # the constructor ties it whatever it is told
    model.lm_head.weight = Parameter(torch.empty_like(model.lm_head.weight))
    return model


_THETA = {"rope_type": "default", "rope_theta": 1_000_000.0}

SHAPES: dict[str, Shape] = {
    "llama-2": Shape(_llama()),
    "codellama": Shape(_llama(vocab_size=32016, rope_parameters=_THETA), added=_FILL),
    # llama.cpp gives this architecture no window: within the window it is the same.
    "mistral": Shape(_mistral(4096)),
    "mistral-past-its-window": Shape(_mistral(WINDOW)),
    "mixtral": Shape(_mixtral),
    "phi-2": Shape(_phi_2, "gpt-2", prompt=24),
    "orca-2": Shape(_llama(), added=_CHATML),
    "distilbert": Shape(_distilbert, "bert"),
    "tinybert": Shape(_tinybert, "bert"),
    "t5-small": Shape(_t5_small, "unigram"),
    "flan-t5": Shape(_flan_t5, "unigram"),
    "llama-3": Shape(_llama_3, prompt=400),
    "smollm-2": Shape(_llama(tie_word_embeddings=True, num_key_value_heads=2)),
    "qwen-2.5": Shape(_qwen_2),
    "qwen-3": Shape(_qwen_3),
    "gemma-2": Shape(_gemma_2),
    "gemma-3": Shape(_gemma_3),
    "phi-3": Shape(_phi_3),
    "gpt-oss": Shape(_gpt_oss, "gpt-2", prompt=24),
}
