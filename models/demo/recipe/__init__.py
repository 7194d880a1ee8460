"""Recipe of the demo model: generate, train the tokenizer, train, export, evaluate."""
