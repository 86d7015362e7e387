"""Fairness: how differently a model treats groups of people, or of anything else."""
