"""The files of an experiment: their names, how they are written, who may write them.

Imports ``errors`` only; knows neither musket_core nor MMDetection.
"""
