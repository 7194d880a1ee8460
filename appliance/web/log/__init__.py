"""The officers' pages of the log."""
