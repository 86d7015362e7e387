"""Other libraries' change detectors."""
