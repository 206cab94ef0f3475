"""The surface of ``keras.callbacks.Callback`` that a bridge to it uses; Keras itself takes long to import."""


class Callback:
    """Known by its name and its module; ``tests/training/test_callback_training.py`` has Keras's own."""

    __module__ = "keras.callbacks"

    def __init__(self):
        self.params = self._model = None

    @property
    def model(self):
        """What ``set_model`` was given."""
        return self._model

    def set_params(self, params):
        """Take what is told of the training."""
        self.params = params

    def set_model(self, model):
        """Take the model."""
        self._model = model

    def _nothing(self, *arguments):
        """Do nothing, as each moment does that a class has no method for."""

    on_train_begin = on_train_end = on_epoch_begin = on_epoch_end = _nothing
    on_train_batch_begin = on_train_batch_end = on_test_begin = on_test_end = _nothing
