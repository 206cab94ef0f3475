"""imgaug on items: from the YAML's ``augmentation`` and ``transforms`` to images, masks and boxes that belong together.

``declaration`` builds imgaug's augmenters of the YAML (``catalogue``: which there are and what they do to masks;
``arguments``: which lists are ranges); ``followed`` carries the masks along; ``augmentation`` is what a dataset calls.
"""
