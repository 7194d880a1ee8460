"""`cloister-audit`: the officers' tool. Needs Python and `cryptography`, nothing else."""
