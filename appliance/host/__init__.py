"""This machine: what has to hold before a start, the first run, and the three processes."""
