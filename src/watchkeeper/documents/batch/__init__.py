"""The report of a batch check: in the terminal, as a page, as Markdown and for continuous integration."""
