"""The training side of the recipe; skipped where torch is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from models.demo.recipe import batches, circuit, export, train  # noqa: E402 - they import torch
from models.demo.recipe.network import Network, Shape  # noqa: E402


@pytest.fixture(scope="module")
def network() -> Network:
    """A fresh network with the copying circuit."""
    torch.manual_seed(1)
    fresh = Network(Shape())
    circuit.install(fresh, seed=1)
    return fresh


@pytest.mark.parametrize("jump", [0, 500])
def test_circuit_copies_random_tokens_before_any_training(network: Network, jump: int) -> None:
    words = torch.randint(8, 4096, (1, 60))
    ids = torch.cat([words, words], dim=1)
    positions = torch.arange(120).unsqueeze(0)
    positions[:, 60:] += jump
    rows = torch.arange(62, 119)
    with torch.no_grad():
        guess = network(ids, positions, rows).argmax(-1)
    assert (guess == ids[0, rows + 1]).float().mean() > 0.97


def test_only_answers_are_trained() -> None:
    generator = torch.Generator().manual_seed(0)
    encoded = [([5, 6, 7, 8, 2], 3), ([5, 6, 9, 2], 2)]
    batch = batches.collate(encoded, generator, stretch=False)
    assert batch.targets.tolist() == [8, 2, 9, 2]
    assert batch.ids.shape == (2, 16)


def test_positions_only_jump_forward() -> None:
    generator = torch.Generator().manual_seed(0)
    encoded = [(list(range(3, 60)), 40)] * 8
    positions = batches.collate(encoded, generator, stretch=True).positions
    assert bool((positions.diff(dim=1) >= 1).all())
    assert int((positions[:, -1] > positions.shape[1]).sum()) > 0


def test_rate_warms_up_and_falls() -> None:
    assert train.rate_at(0.0, 0) < train.rate_at(0.0, train.WARM_STEPS) == 1.0
    assert train.rate_at(1.0, 10_000) == pytest.approx(train.FLOOR)


def test_stages_cover_the_whole_time() -> None:
    assert batches.stage_at(0.0) == batches.STAGES[0]
    assert batches.stage_at(1.0) == batches.STAGES[-1]


def test_several_ended_runs_are_exported_as_their_mean(tmp_path: Path) -> None:
    for value in (1.0, 2.0, 6.0):
        network = Network(Shape(layers=1, vocabulary=64))
        torch.nn.init.constant_(network.norm.weight, value)
        train.save(network, tmp_path, {"step": value})
        train.keep_end(tmp_path)
    assert export.checkpoints(tmp_path, 0) == [tmp_path / "checkpoint.pt"]
    chosen = export.checkpoints(tmp_path, 2)
    assert [path.name for path in chosen] == ["run-2.pt", "run-3.pt"]
    mean, progress = train.load(*chosen)
    assert mean.norm.weight.unique().tolist() == [4.0]
    assert progress == {"step": 6.0}
    with pytest.raises(export.TooFewRunsError, match="3 runs ended"):
        export.checkpoints(tmp_path, 4)
