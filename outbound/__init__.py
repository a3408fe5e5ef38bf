"""Compose and send replies: one module for each channel, with its table of errors."""
