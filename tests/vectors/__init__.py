"""The published and constructed vectors of the WeChat family, each with its stated outcome.

``python -m tests.vectors`` prints how many of each kind hold; ``tests/acceptance`` runs them one by one.
"""
