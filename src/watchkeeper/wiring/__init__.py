"""From configuration to objects: the only place that knows every adapter."""
