"""``collections`` with the abstract classes that left it in Python 3.10."""

from collections import *
from collections import abc

Iterable = abc.Iterable
