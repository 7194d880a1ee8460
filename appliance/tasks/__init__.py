"""Tasks: declared work before and after a model."""
