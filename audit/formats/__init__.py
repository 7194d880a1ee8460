"""Records in the forms that other programs read; nothing here opens, everything is given opened."""
