"""The demo: a real year of flights under watch, in minutes. Nothing is staged.

`flights` reads the data, `model` trains, `service` serves it behind HTTP, `receivers` take the messages, and
`story` replays the year day by day: `chronicle` runs its nights and does what an operator would, `truth` says what the
flights themselves say, `teller` tells it all on the terminal.
"""
