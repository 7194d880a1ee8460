"""The catalogue: which models are here and what each needs."""
