"""Classical online change detectors, for those who know them. They carry no guarantee over time."""
