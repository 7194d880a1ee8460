"""The engine: the only process that loads models."""
