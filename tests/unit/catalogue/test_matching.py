"""A file is a known model only if architecture, shape and name agree."""

from __future__ import annotations

import pytest

from appliance.catalogue.known.library import known_model, known_models
from appliance.catalogue.known.matching import match, resembling
from tests.support.known_gguf import known_metadata

# How files in the wild are called: general.name, and the name of the file where that says more.
WILD = [
    ("llama-2-13b-chat", "LLaMA v2", "llama-2-13b-chat.Q4_K_M.gguf"),
    ("llama-2-13b-chat", "Llama 2 13b Chat Hf", "model.gguf"),
    ("llama-2-13b", "meta-llama_Llama-2-13b-hf", "model.gguf"),
    ("codellama-7b", "codellama_codellama-7b-hf", "model.gguf"),
    ("codellama-7b-instruct", "CodeLlama 7b Instruct Hf", "model.gguf"),
    ("mistral-7b-instruct-v0.1", "mistralai_mistral-7b-instruct-v0.1", "model.gguf"),
    ("mistral-7b-instruct-v0.2", "Mistral 7B Instruct v0.2", "model.gguf"),
    ("mistral-7b-instruct-v0.3", "Mistral-7B-Instruct-v0.3", "model.gguf"),
    ("mixtral-8x7b-instruct", "mistralai_mixtral-8x7b-instruct-v0.1", "model.gguf"),
    ("phi-2", "Phi2", "model.gguf"),
    ("phi-2", "microsoft_phi-2", "model.gguf"),
    ("orca-2-7b", "microsoft_orca-2-7b", "model.gguf"),
    ("distilbert", "distilbert-base-uncased-finetuned-sst-2-english", "model.gguf"),
    ("tinybert-4l", "TinyBERT_General_4L_312D", "model.gguf"),
    ("t5-small", "T5 Small", "model.gguf"),
    ("llama-3.1-8b-instruct", "Meta Llama 3.1 8B Instruct", "model.gguf"),
    ("llama-3.2-1b-instruct", "Llama 3.2 1B Instruct", "model.gguf"),
    ("qwen2.5-0.5b-instruct", "Qwen2.5 0.5B Instruct", "model.gguf"),
    ("qwen2.5-7b-instruct", "qwen2.5-7b-instruct", "model.gguf"),
    ("qwen3-8b", "Qwen_Qwen3 8B", "model.gguf"),
    ("qwen3-4b", "Qwen3 4B", "model.gguf"),
    ("gemma-2-2b-it", "Gemma 2 2b It", "model.gguf"),
    ("gemma-3-4b-it", "google_gemma-3-4b-it", "model.gguf"),
    ("phi-3-mini-4k-instruct", "Phi3", "Phi-3-mini-4k-instruct-q4.gguf"),
    ("phi-4", "Phi 4", "model.gguf"),
    ("phi-4-mini-instruct", "Phi 4 Mini Instruct", "model.gguf"),
    ("smollm2-1.7b-instruct", "Smollm2 1.7B 8k Mix7 Ep2", "smollm2-1.7b-instruct-q4_k_m.gguf"),
    ("gpt-oss-20b", "Gpt Oss 20b", "model.gguf"),
    ("gpt-oss-20b", "openai_gpt-oss-20b", "gpt-oss-20b-MXFP4.gguf"),
]


@pytest.mark.parametrize(("name", "general_name", "file_name"), WILD)
def test_a_file_from_the_wild_is_known(name: str, general_name: str, file_name: str) -> None:
    found = match(known_metadata(known_model(name), {"general.name": general_name}), file_name)
    assert found is not None
    assert found.name == name


def test_the_parts_of_a_name_are_put_together() -> None:
    parts = {
        "general.name": "A model",
        "general.basename": "Mistral",
        "general.size_label": "7B",
        "general.finetune": "Instruct",
        "general.version": "v0.2",
    }
    found = match(known_metadata(known_model("mistral-7b-instruct-v0.2"), parts))
    assert found is not None
    assert found.name == "mistral-7b-instruct-v0.2"


@pytest.mark.parametrize("name", [model.name for model in known_models()])
def test_every_model_answers_to_cloister_s_own_name_for_it(name: str) -> None:
    model = known_model(name)
    assert match(known_metadata(model, {"general.name": name})) == model
    assert match(known_metadata(model, {"general.name": "nothing"}), f"{name}.Q5_K_M.gguf") == model


@pytest.mark.parametrize(
    "general_name", ["OpenHermes 2.5 Mistral 7B", "Zephyr 7b Beta", "Mistral 7B Instruct v0.2 Abc"]
)
def test_a_fine_tune_is_another_model_of_the_same_shape(general_name: str) -> None:
    model = known_model("mistral-7b-instruct-v0.2")
    metadata = known_metadata(model, {"general.name": general_name})
    assert match(metadata, "model.gguf") is None
    assert "mistral-7b-v0.1" in {model.name for model in resembling(metadata)}


@pytest.mark.parametrize(
    "changes",
    [
        {"llama.block_count": 30},
        {"llama.embedding_length": 2048},
        {"llama.attention.head_count_kv": 32},
        {"llama.expert_count": 4},
    ],
)
def test_the_right_name_with_another_shape_is_not_the_model(
    changes: dict[str, object],
) -> None:
    named = {"general.name": "Mistral 7B Instruct v0.2", **changes}
    metadata = known_metadata(known_model("mistral-7b-instruct-v0.2"), named)
    assert match(metadata, "") is None
    assert resembling(metadata) == []


def test_the_vocabulary_tells_two_versions_apart() -> None:
    metadata = known_metadata(known_model("mistral-7b-instruct-v0.3"), {})
    assert {model.name for model in resembling(metadata)} == {
        "mistral-7b-v0.3",
        "mistral-7b-instruct-v0.3",
    }


@pytest.mark.parametrize("metadata", [{}, {"general.architecture": 7}, {"general.name": "Phi 2"}])
def test_metadata_that_says_nothing_matches_nothing(metadata: dict[str, object]) -> None:
    assert match(metadata, "phi-2.gguf") is None
