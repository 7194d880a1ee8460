"""What every test shares: no setting of the developer's own environment reaches a test."""

from __future__ import annotations

import os
import signal

import hypothesis
import pytest

# How fast a shared machine happens to be says nothing about what is tested.
hypothesis.settings.register_profile(
    "shared-machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("shared-machine")

# A shell starts what it puts into the background with Ctrl-C ignored, and every child inherits it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("CLOISTER_")]:
        monkeypatch.delenv(name)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The fresh clone comes last: it takes longest, and says least about what is wrong."""
    items.sort(key=lambda item: item.path.name == "test_fresh_clone.py")
