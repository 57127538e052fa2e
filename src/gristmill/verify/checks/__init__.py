"""The checks, a module for each topic; ``catalogue`` has them in their order."""
