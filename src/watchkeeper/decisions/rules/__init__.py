"""Rules: what is wrong with a series, said with what backs it up."""
