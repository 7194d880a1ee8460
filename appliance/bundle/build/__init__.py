"""Makes bundles, on a machine that reaches a Debian mirror and a Python index, or from folders."""
