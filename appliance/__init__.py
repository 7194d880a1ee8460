"""Cloister: an air-gapped appliance for small language models."""

__version__ = "0.1.0"
