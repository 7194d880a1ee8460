"""The model catalogue; a package only so that the demo recipe can run as a module."""
