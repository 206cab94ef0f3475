"""Modules that musket_core and imgaug import in place of the real ones; nobody else does."""
