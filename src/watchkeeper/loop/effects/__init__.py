"""What is done to the world outside: recorded first, then performed, then recorded as done."""
