"""What people read of a project: status, explanations, cards."""
