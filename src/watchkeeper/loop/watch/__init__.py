"""The watch: journals drained, windows measured, and what is old cleared away."""
