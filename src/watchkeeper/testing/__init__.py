"""What a third party needs to test an adapter or a measure."""
