"""Pages for people. Each has a JSON twin at the same path, and its URL holds every filter."""
