"""Musket datasets on their way to the trainer: reading, splitting, checking. Imports neither models nor training."""
