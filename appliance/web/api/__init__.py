"""The API under `/v1`: OpenAI's shapes, API keys only, no browser sessions."""

from appliance.web.api.views import blueprint

__all__ = ["blueprint"]
