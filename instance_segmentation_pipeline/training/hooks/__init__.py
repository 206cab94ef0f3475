"""MMEngine hooks of one stage of one fold, one a file; each does one thing.

``TrainingLog`` runs first after an epoch's validation and hands its row to the others.
"""
