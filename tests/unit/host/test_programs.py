"""What the three programs are started with."""

from __future__ import annotations

from pathlib import Path

from appliance.host.programs import programs
from appliance.settings import Settings


def test_the_writer_is_told_the_terms_that_are_set(tmp_path: Path) -> None:
    writer, _, _ = programs(Settings(state=tmp_path))
    assert not [one for one in writer.arguments if one.startswith("--retain")]
    set_ones = Settings(state=tmp_path, audit_short_days=30, audit_long_days=2190)
    writer, _, _ = programs(set_ones)
    given = [one for one in writer.arguments if one.startswith("--retain")]
    assert given == ["--retain=short=30", "--retain=long=2190"]
