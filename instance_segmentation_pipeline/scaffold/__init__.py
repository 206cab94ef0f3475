"""A first experiment made of a folder of annotations, for ``musket new``: what lies there, what suits it, its YAML.

Only ``cli`` comes in.
"""
