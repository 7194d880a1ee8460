"""Forwarding to a log host: what stands in clear, by a process of its own that has no key."""
