"""The writer: the only process that writes the log. It seals and can not open what it sealed."""
