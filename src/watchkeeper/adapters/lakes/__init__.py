"""Lakes: where predictions, outcomes and profiles are kept as tables."""
