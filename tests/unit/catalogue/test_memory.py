"""The plan follows from the sizes, and what is left follows from the kernel's files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.catalogue.facts import ModelFacts
from appliance.catalogue.memory import LoadSizes, plan_memory, plan_reading
from appliance.catalogue.room import available_memory

SEVEN_BILLION = ModelFacts(
    architecture="llama",
    quantisations=("Q4_K", "Q6_K", "F32"),
    context=4096,
    layers=32,
    width=4096,
    inner=11008,
    heads=32,
    head_width=128,
    cache_keys=32 * 4096,
    cache_values=32 * 4096,
    vocabulary=32000,
    merges=0,
    weights=4_080_000_000,
    repacked=3_200_000_000,
)
SIZES = LoadSizes(cells=16384, unified=True, sequences=16, outputs=76, step_tokens=332, threads=2)
CELL = 64


def test_the_cache_holds_keys_and_values_in_half_precision() -> None:
    assert plan_memory(SEVEN_BILLION, SIZES).cache == 16384 * (32 * 2 * 4096 * 2 + CELL)


def test_quantised_keys_and_values_take_what_their_blocks_take() -> None:
    plan = plan_memory(SEVEN_BILLION, replace(SIZES, key_type="q8_0", value_type="q4_0"))
    assert plan.cache == 16384 * (32 * 4096 * (34 + 18) // 32 + CELL)


def test_without_flash_attention_every_head_has_scores() -> None:
    flash = plan_memory(SEVEN_BILLION, SIZES)
    plain = plan_memory(SEVEN_BILLION, replace(SIZES, flash=False))
    assert 0.9 < (plain.compute - flash.compute) / (332 * 16384 * 32 * 4) < 1


def test_a_cache_is_rounded_up_as_llama_cpp_does() -> None:
    shared = plan_memory(SEVEN_BILLION, replace(SIZES, cells=1000))
    assert shared.cache == 1024 * (32 * 2 * 4096 * 2 + CELL)
    apart = plan_memory(SEVEN_BILLION, replace(SIZES, cells=10_000, unified=False, sequences=4))
    assert apart.cache == 4 * 2560 * (32 * 2 * 4096 * 2 + CELL)


def test_an_encoder_has_no_cache() -> None:
    assert plan_memory(replace(SEVEN_BILLION, cache_keys=0, cache_values=0), SIZES).cache == 0


def test_an_encoder_needs_logits_of_every_token_and_no_cache() -> None:
    short, long = (
        plan_reading(SEVEN_BILLION, tokens, threads=2, flash=True) for tokens in (512, 1024)
    )
    assert short.cache == long.cache == 0
    assert short.runner == plan_memory(SEVEN_BILLION, SIZES).runner
    assert long.compute - short.compute > 512 * SEVEN_BILLION.vocabulary * 4


def test_the_pages_of_repacked_matrices_are_resident_but_not_needed() -> None:
    plan = plan_memory(SEVEN_BILLION, SIZES)
    assert plan.resident - plan.needed == 3_200_000_000
    assert plan.mapped == 880_000_000


sizes = st.builds(
    LoadSizes,
    cells=st.integers(1, 1 << 24),
    unified=st.booleans(),
    sequences=st.integers(1, 64),
    outputs=st.integers(1, 320),
    step_tokens=st.integers(16, 65_536),
    threads=st.integers(1, 1024),
)


@given(sizes)
def test_more_of_anything_never_takes_less(asked: LoadSizes) -> None:
    least = plan_memory(SEVEN_BILLION, asked).needed
    for name in ("cells", "outputs", "step_tokens", "threads"):
        more = replace(asked, **{name: getattr(asked, name) * 2})
        assert plan_memory(SEVEN_BILLION, more).needed >= least


MEMINFO = "MemTotal: 16000 kB\nMemFree: 1000 kB\nMemAvailable: 8000 kB\n"
KB = 1024


def machine(folder: Path, groups: str, files: dict[str, str]) -> tuple[Path, Path]:
    """Trees like the kernel's."""
    proc, cgroups = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "meminfo").write_text(MEMINFO)
    (proc / "self/cgroup").write_text(groups)
    for name, content in files.items():
        (cgroups / name).parent.mkdir(parents=True, exist_ok=True)
        (cgroups / name).write_text(content)
    return proc, cgroups


def test_without_a_limit_the_kernel_says_what_is_left(tmp_path: Path) -> None:
    assert available_memory(*machine(tmp_path, "0::/a\n", {})) == 8000 * KB
    assert available_memory() > 0


@pytest.mark.parametrize("limit", ["memory.max", "memory.high"])
def test_the_tightest_group_above_counts_and_its_file_pages_do_not(
    tmp_path: Path, limit: str
) -> None:
    files = {
        "a/memory.max": "max\n",
        "a/memory.current": "0\n",
        f"a/b/{limit}": f"{5000 * KB}\n",
        "a/b/memory.current": f"{3000 * KB}\n",
        "a/b/memory.stat": f"anon 7\ninactive_file {600 * KB}\nactive_file {400 * KB}\n",
        "a/b/c/memory.max": f"{9000 * KB}\n",
        "a/b/c/memory.current": "0\n",
    }
    assert available_memory(*machine(tmp_path, "0::/a/b/c\n", files)) == 3000 * KB


def test_groups_of_the_first_version_count_too(tmp_path: Path) -> None:
    files = {
        "memory/a/memory.limit_in_bytes": f"{2000 * KB}\n",
        "memory/a/memory.usage_in_bytes": f"{900 * KB}\n",
        "memory/a/memory.stat": f"total_inactive_file {100 * KB}\n",
        "cpu/a/memory.limit_in_bytes": "1\n",
    }
    groups = "5:cpu,cpuacct:/a\n4:memory:/a\n0::/\n"
    assert available_memory(*machine(tmp_path, groups, files)) == 1200 * KB


def test_a_group_over_its_limit_leaves_nothing(tmp_path: Path) -> None:
    files = {"memory.max": "1000\n", "memory.current": "5000\n"}
    assert available_memory(*machine(tmp_path, "0::/\n", files)) == 0
