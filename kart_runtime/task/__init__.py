"""Task declaration: the base class, parameters, identity and loading."""
