"""How the model was served: rates, errors, latency, and how late outcomes come."""
