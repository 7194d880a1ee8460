"""The web process: pages and the OpenAI-shaped API."""
