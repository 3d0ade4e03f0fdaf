"""One script per contestant; each is run as a module, in its own environment."""
