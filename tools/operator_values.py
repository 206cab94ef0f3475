"""Writes the answers of MMCV's compiled operators to the cases of ``tests/support/operator_cases.py``, as test data.

Needs an environment with a compiled MMCV. Usage: python tools/operator_values.py
"""

import os
import sys
from pathlib import Path

os.environ["MUSKET_MMDETECTION_OPERATORS"] = "compiled"
REPOSITORY = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(REPOSITORY))


def main() -> int:
    """Run every case and write ``tests/operators/compiled.npz``."""
    import mmcv
    import numpy as np
    import torch

    from tests.support.operator_cases import CASES

    torch.set_num_threads(1)
    values = {f"{case}/{name}": value for case, run in CASES.items() for name, value in run().items()}
    target = REPOSITORY / "tests" / "operators" / "compiled.npz"
    np.savez_compressed(target, **values)
    size = target.stat().st_size / 1024
    print(
        f"{len(CASES)} cases, {len(values)} arrays, {size:.0f} KB: MMCV {mmcv.__version__}, torch {torch.__version__}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
