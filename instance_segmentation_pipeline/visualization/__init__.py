"""Pixels: pictures of objects, plots, tables of text.

Imports ``detection`` and ``errors`` only; knows no experiment.
"""
