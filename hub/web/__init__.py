"""The web server: callbacks under ``/in``, the API under ``/v1``, health and metrics.

The only package that knows aiohttp's server.
"""
