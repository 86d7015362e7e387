"""The dashboard and the HTTP API. Thin: what they show and do is computed below."""
