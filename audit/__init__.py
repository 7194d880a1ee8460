"""The audit log: sealed, tamper-evident, checked by foreign tools."""
