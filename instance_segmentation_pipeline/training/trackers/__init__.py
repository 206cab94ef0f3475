"""Who is told of a training beside the experiment's folder: a run for each stage of each fold, over kills and resumes.

Imports ``storage`` and ``errors``; MMEngine, MLflow and TensorBoard where a tracker is opened.
"""
