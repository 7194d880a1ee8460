"""The app on a state tree of its own, with neither engine nor log behind it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask

from appliance.settings import Settings
from appliance.web.app import create_app
from appliance.web.services import Services


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state=tmp_path, appliance_id="ward-7")


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    app = create_app(settings)
    yield app
    services: Services = app.extensions["cloister"]
    services.close()
