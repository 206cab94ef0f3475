"""The YAML before anything is built: its properties, and how it is read.

Imports ``errors``, ``storage``, ``zoo`` and ``detection`` only; knows neither musket_core nor torch.
"""
