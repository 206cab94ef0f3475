"""Finished experiments side by side: tables, figures, a page.

Reads files and records, never a config object.
"""
