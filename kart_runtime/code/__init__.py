"""Fingerprints of code."""
