"""``keras.callbacks`` as a namespace of its own, so that musket_core may add CyclicLR and LRVariator to it."""

from keras.callbacks import *
