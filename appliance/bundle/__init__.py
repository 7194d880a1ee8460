"""The bundle: one signed file with all that a host without a network is installed from.

`manifest` says what is in it, `frame` how it lies in the file, `verify` whether it is what was
signed; `build` makes one. Format: docs/bundle.md.
"""
