"""What the keys of the optimization say together; each alone is checked by the table of properties."""

from ..errors import ConfigError


def check_clipping(clipnorm: "float | None", clipvalue: "float | None") -> None:
    """See to it that gradients are clipped in one way.

    Raises:
        ConfigError: Both are given.
    """
    if clipnorm is not None and clipvalue is not None:
        raise ConfigError(
            f"clipnorm is {clipnorm:g} and clipvalue {clipvalue:g}, but gradients are clipped by their norm or each by "
            "its value: remove one."
        )


def images_per_gpu(images: "int | None", batch: "int | None", gpus: int) -> int:
    """Return how many images each of the devices that train one net is given at a time.

    Args:
        images: What ``imagesPerGpu`` says.
        batch: What ``batch`` says: images of all devices together.
        gpus: Devices that train one net.

    Raises:
        ConfigError: The two contradict each other, or the batch cannot be shared equally.
    """
    if batch is None:
        return images or 1
    if images is not None and images * gpus != batch:
        raise ConfigError(
            f"batch is {batch}, but imagesPerGpu {images} on {gpus} device{'s' * (gpus > 1)} for each net is a batch "
            f"of {images * gpus}: remove one of the two."
        )
    if batch % gpus:
        raise ConfigError(
            f"batch is {batch}, which {gpus} devices for each net cannot share equally: make it a multiple of {gpus}, "
            "or give imagesPerGpu."
        )
    return batch // gpus
