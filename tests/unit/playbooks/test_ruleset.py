"""The packet filter: what the kernel says to it, and what comes through."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.support.playbooks import rendered

NFT = shutil.which("nft", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")


def ruleset(**more: object) -> str:
    return rendered("network", "nftables.conf.j2", **more)


def test_everything_is_dropped_that_is_not_named() -> None:
    text = ruleset()
    for chain in ("input", "forward", "output"):
        assert re.search(rf"hook {chain} priority filter; policy drop;", text)


def test_every_accepted_packet_is_counted_or_stays_on_the_host() -> None:
    for line in ruleset().splitlines():
        if line.strip().endswith("accept"):
            plain = "ct state established,related accept"
            assert "counter name" in line or '"lo"' in line or line.strip() == plain


def test_without_destinations_the_host_begins_no_connection() -> None:
    output = ruleset(network_destinations=[]).split("chain output")[1]
    accepted = [line.strip() for line in output.splitlines() if line.strip().endswith("accept")]
    assert accepted == [
        'oifname "lo" accept',
        'ct direction reply ct state established counter name "out_reply" accept',
    ]


@pytest.mark.root
@pytest.mark.skipif(NFT is None or os.geteuid() != 0, reason="needs nft, and root")
@pytest.mark.parametrize("destinations", [True, False])
def test_nft_takes_the_ruleset(tmp_path: Path, destinations: bool) -> None:
    """In a network namespace of its own; the accounts of a host are given as numbers."""
    text = ruleset() if destinations else ruleset(network_destinations=[])
    numbered = re.sub(r'"cloister-(audit|engine|web)"', lambda m: str(len(m[1]) + 900), text)
    file = tmp_path / "nftables.conf"
    file.write_text(numbered)
    command = ["unshare", "--net", str(NFT), "--check", "--file", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
