"""Mattes to pictures: pure functions on numpy arrays, no I/O, no torch."""
