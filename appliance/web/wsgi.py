"""What gunicorn loads: `gunicorn -c python:appliance.web.gunicorn_conf appliance.web.wsgi:app`."""

from __future__ import annotations

from appliance.settings import Settings
from appliance.web.app import create_app

app = create_app(Settings())
