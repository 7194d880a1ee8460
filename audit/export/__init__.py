"""Exports: a log, or some of its records, as a folder that anybody can check and carry away."""
