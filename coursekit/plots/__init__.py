"""Plots draw on an Axes, return their artists and change nothing else.

Each topic has its module; ``plots.style`` holds the colours and makes figures.
"""
