"""What people send and ask: outcomes that they label, rows that they want forgotten."""
