"""What Cloister knows about the models that people bring, so that they need not know it."""
