"""Faults that are delivered to builds, and what the next build finds: kills, power cuts, dead servers, full disks.

Each module takes a count and a seed, counts what it has delivered, and has a control that must fail.
"""
