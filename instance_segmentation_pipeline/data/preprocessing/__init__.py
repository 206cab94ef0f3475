"""Chains of preprocessors between a provider's dataset and everything that reads it: folds, training, predictions.

``config.step_chain`` has read the YAML; here its steps find their functions and become datasets, one around the other.
"""
