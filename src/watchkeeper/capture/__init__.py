"""Rides in someone else's server: light, bounded, never raises into the caller, never blocks it.

One file a concept: `recorder` (what users call), `events` (what is written, and how it is encoded), `identity`
(time-ordered ids), `redaction` (what must not leave the process, and which share of it does), `outbox` (the
bounded buffer and its flusher), `journal` and `slots` (where it lands), `batches` (Arrow), `wrapping` and
`watching` (models and functions), `exchange`, `asgi` and `wsgi` (web applications).

Standard library and msgspec only; numpy and pyarrow are imported when a batch is recorded, not before.
"""
