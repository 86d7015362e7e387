"""The demo: a real year of flights under watch, in minutes. Nothing is staged.

`flights` reads the data, `model` trains, `service` serves it behind HTTP, `receivers` take the messages, and
`story` replays the year day by day and says what Watchkeeper saw.
"""
