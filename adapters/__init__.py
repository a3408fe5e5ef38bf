"""Prove that a request is genuine, decrypt it, answer handshakes: one module for each channel."""
