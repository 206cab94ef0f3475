"""Experiments that look for settings: learning rates, and searches over hyperparameters, whose trials are experiments.

Above ``experiment``: an experiment does not know that it is a trial.
"""
