"""Writes the answers of MMCV's compiled operators to the cases of ``tests/operator_cases.py``, as test data.

Needs an environment with a compiled MMCV. Usage: python tools/operator_values.py
"""

import os
import sys
from pathlib import Path

os.environ["MUSKET_MMDETECTION_OPERATORS"] = "compiled"
TESTS = Path(__file__).resolve().parent.parent / "tests"
sys.path.insert(0, str(TESTS))


def main() -> int:
    """Run every case and write ``tests/data/operators/compiled.npz``."""
    import mmcv
    import numpy as np
    import torch
    from operator_cases import CASES

    torch.set_num_threads(1)
    values = {f"{case}/{name}": value for case, run in CASES.items() for name, value in run().items()}
    target = TESTS / "data" / "operators" / "compiled.npz"
    target.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(target, **values)
    size = target.stat().st_size / 1024
    print(
        f"{len(CASES)} cases, {len(values)} arrays, {size:.0f} KB: MMCV {mmcv.__version__}, torch {torch.__version__}"
    )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
