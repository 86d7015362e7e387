"""What is written about an incident."""
