"""Measures the hub as ratios within one run, on one machine."""
