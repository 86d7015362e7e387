"""The verdict on one batch."""
