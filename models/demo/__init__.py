"""The demo model: a small Llama trained from scratch by the recipe in this folder."""
