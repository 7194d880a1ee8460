"""What `make` runs before anything is installed; not part of the package."""
