"""Bringing a model in: from a disk that somebody carries, through quarantine, to the catalogue."""
