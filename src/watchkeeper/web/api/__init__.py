"""The HTTP API: predictions and outcomes in, measurements out."""
