#!/usr/bin/env bash
# Makes a Python environment that the project runs in: torch, then MMCV against that torch, then the package.
# Usage: prepare_environment.sh FOLDER. Every step that is done already is skipped, so it can be interrupted
# and started again; MMCV's compilation goes on with the files that are still missing.
set -euo pipefail
environment=$1
mmcv=2.3.6
imaug=0.4.3
say() { printf '== %s\n' "$*"; }

if [ ! -x "$environment/bin/python" ]; then
    say "making $environment with $PYTHON"
    "$PYTHON" -m venv "$environment"
fi
python=$environment/bin/python
pip() { "$python" -m pip --disable-pip-version-check "$@"; }
has() { "$python" -c "$1" >/dev/null 2>&1; }

# A package's own .pth must not import half-installed code while pip works.
export MUSKET_MMDETECTION_BOOTSTRAP=0

if ! has 'import ninja, psutil, setuptools, wheel; assert int(setuptools.__version__.split(".")[0]) >= 77'; then
    say "installing build tools"
    pip install --quiet --upgrade pip 'setuptools>=77,<81' wheel ninja psutil
fi
if ! has 'import torch'; then
    say "installing $TORCH (some 200 MB for a CPU, some GB for a GPU)"
    pip install --quiet "$TORCH" numpy
fi

if ! has "import mmcv.ops; assert mmcv.__version__ == '$mmcv'"; then
    tag=$("$python" -c 'import sys, torch; print(f"cp{sys.version_info[0]}{sys.version_info[1]}-torch{torch.__version__}")')
    cache=${XDG_CACHE_HOME:-$HOME/.cache}/instance_segmentation_pipeline/mmcv-$mmcv-$tag
    mkdir -p "$cache"
    if ! ls "$cache"/*.whl >/dev/null 2>&1; then
        pip download --quiet --no-deps --no-build-isolation --dest "$cache" "onedl-mmcv==$mmcv"
    fi
    if ! ls "$cache"/*.whl >/dev/null 2>&1; then
        say "compiling MMCV's operators: 12 to 25 minutes on two cores, once for this machine (log: $cache/log)"
        source=$cache/onedl_mmcv-$mmcv
        [ -d "$source" ] || { mkdir -p "$cache/new" && tar -xzf "$cache"/*.tar.gz -C "$cache/new" && mv "$cache"/new/* "$source"; }
        MMCV_WITH_OPS=1 pip wheel --no-deps --no-build-isolation --wheel-dir "$cache/built" "$source" >"$cache/log" 2>&1 || {
            tail -n 30 "$cache/log" >&2
            echo "MMCV could not be compiled; the whole log is $cache/log" >&2
            exit 1
        }
        mv "$cache"/built/*.whl "$cache/"
        rm -rf "$source"
    fi
    say "installing MMCV"
    pip install --quiet "$cache"/*.whl
fi

say "installing the package and its tools"
pip install --quiet --no-build-isolation --editable '.[dev,examples]'
# musket_core asks for imgaug and MMDetection for imaug, two distributions of one module: the second is to win.
pip install --quiet --no-deps --force-reinstall "imaug==$imaug"
pip check
