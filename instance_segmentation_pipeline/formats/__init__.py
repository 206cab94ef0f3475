"""Formats that predictions and datasets are written in; one module a format."""
