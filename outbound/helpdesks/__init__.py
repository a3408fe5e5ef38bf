"""Events for helpdesks: one module for each kind."""
