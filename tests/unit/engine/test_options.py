"""Settings reach the runner as they are, and what contradicts itself is refused."""

from __future__ import annotations

import argparse
import typing
from pathlib import Path

import pytest

from appliance.catalogue.quantisation import QUANTISATIONS
from appliance.cli.errors import describe
from appliance.engine.errors import OptionsError
from appliance.engine.llama import LogTail, load
from appliance.engine.options import (
    CACHE_TYPES,
    FLASH_ATTENTION,
    EngineOptions,
    ResidencyOptions,
    add_option_arguments,
    add_residency_arguments,
    options_from,
    residency_from,
)
from appliance.host.programs import engine_options
from appliance.settings import CacheType, Settings
from tests.support.tiny_gguf import write_tiny_gguf

RESIDENCY = ResidencyOptions(memory_mib=9000, wait_seconds=7, pinned=("triage", "phi-2"))
ALL = EngineOptions(3, 5, 700, 9, 32, 2, 6, True, -1, "on", "q8_0", "q4_0")


def test_every_option_survives_the_command_line() -> None:
    parser = argparse.ArgumentParser()
    add_option_arguments(parser)
    assert options_from(parser.parse_args(ALL.arguments())) == ALL
    assert options_from(parser.parse_args([])) == EngineOptions()


def test_what_says_which_models_stay_survives_the_command_line_too() -> None:
    parser = argparse.ArgumentParser()
    add_residency_arguments(parser)
    assert residency_from(parser.parse_args(RESIDENCY.arguments())) == RESIDENCY
    assert residency_from(parser.parse_args([])) == ResidencyOptions()


def test_every_setting_of_the_engine_becomes_an_option() -> None:
    given = {f"engine_{name}": value for name, value in vars(ALL).items()}
    settings = Settings(**given)  # type: ignore[arg-type]
    assert engine_options(settings) == ALL
    names = {name for name in Settings.model_fields if name.startswith("engine_")}
    assert names == given.keys() | {f"engine_{name}" for name in vars(RESIDENCY)}
    assert engine_options(Settings()) == EngineOptions()


def test_settings_and_options_offer_the_cache_types_that_we_know_the_size_of() -> None:
    assert typing.get_args(CacheType) == CACHE_TYPES
    attention = Settings.model_fields["engine_flash_attention"].annotation
    assert typing.get_args(attention) == FLASH_ATTENTION
    known = {kind.name.lower() for kind in QUANTISATIONS.values()}
    assert known.issuperset(CACHE_TYPES)


@pytest.mark.parametrize(
    "options",
    [
        EngineOptions(threads=1, sequences=1, context=64, draft=0),
        EngineOptions(threads=1, sequences=64, context=64),
        EngineOptions(threads=1, sequences=1, context=64, prefixes=64, step_tokens=16),
        EngineOptions(threads=1, sequences=1, context=64, draft=0, exact=True),
    ],
)
def test_a_model_loads_with_any_number_of_sequences_guesses_and_beginnings(
    options: EngineOptions, log_tail: LogTail, tmp_path: Path
) -> None:
    path = tmp_path / "tiny.gguf"
    write_tiny_gguf(path)
    loaded = load(path, 64, options, log_tail)
    loaded.free()


@pytest.mark.parametrize("kind", ["q8_0", "q4_0", "iq4_nl"])
def test_quantised_values_without_flash_attention_are_refused_with_the_remedy(kind: str) -> None:
    with pytest.raises(OptionsError) as caught:
        EngineOptions(flash_attention="off", cache_type_v=kind)
    assert describe(caught.value) == (
        f"engine_cache_type_v is {kind}, and quantised values need flash attention: set"
        " engine_flash_attention to auto or on, or engine_cache_type_v to f16."
    )
    assert EngineOptions(flash_attention="off", cache_type_k=kind).cache_type_k == kind


@pytest.mark.parametrize(
    ("layers", "said"),
    [
        (0, "CPU, 2 threads"),
        (12, "GPU, 12 layers; CPU, 2 threads"),
        (-1, "GPU, all layers; CPU, 2 threads"),
    ],
)
def test_the_processor_is_named_for_people(layers: int, said: str) -> None:
    assert EngineOptions(threads=2, gpu_layers=layers).processor == said
