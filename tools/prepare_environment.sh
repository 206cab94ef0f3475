#!/usr/bin/env bash
# Usage: PYTHON=python3.12 prepare_environment.sh FOLDER. Makes the environment that `make` works in: this package,
# editable, with its tools. Started again after an interruption it goes on: pip keeps what was downloaded whole.
#   TORCH=torch==2.13.0     the torch to install where there is none
#   COMPILE_OPERATORS=1     compile MMCV's operators against that torch, too (a C++ compiler, 12 to 25 minutes)
set -euo pipefail
python=$1/bin/python
export MUSKET_MMDETECTION_BOOTSTRAP=0 # no half-installed package is imported while pip works
pip() { "$python" -m pip --disable-pip-version-check "$@"; }

if [ ! -x "$python" ]; then
    "$PYTHON" -c 'import sys; v = sys.version_info; (3, 10) <= v < (3, 14) or sys.exit(f"{sys.executable} is Python "
    f"{v[0]}.{v[1]}, expected 3.10 to 3.13: name one, such as make PYTHON=python3.12")'
    "$PYTHON" -m venv "$1"
fi
pip --version >/dev/null 2>&1 || "$python" -m ensurepip --upgrade >/dev/null
"$python" -c 'import importlib.metadata as m; m.version("torch")' 2>/dev/null && TORCH=
pip install --quiet --editable '.[dev,examples]' ${TORCH:+"$TORCH"}
if [ "${COMPILE_OPERATORS:-}" = 1 ] && ! MUSKET_MMDETECTION_OPERATORS=compiled MUSKET_MMDETECTION_BOOTSTRAP=1 \
    "$python" -c 'import mmcv.ops' 2>/dev/null; then
    pip install --quiet 'setuptools>=77,<81' wheel ninja psutil
    MMCV_WITH_OPS=1 pip install --no-build-isolation --no-cache-dir --no-deps --force-reinstall 'onedl-mmcv>=2.3.6,<2.4'
fi
pip check
