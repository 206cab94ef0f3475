"""Masks as Kaggle's tables have them, made pixel by pixel."""


def runs_of(mask):
    """Return a mask as pairs of start and length, column by column from 1."""
    pairs, start = [], None
    for place, value in enumerate([*mask.T.ravel().tolist(), 0]):
        if value and start is None:
            start = place
        elif not value and start is not None:
            pairs += [start + 1, place - start]
            start = None
    return " ".join(map(str, pairs))
