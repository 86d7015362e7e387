"""Evidence over time: procedures that may be looked at after every window, for ever."""
