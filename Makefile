# Two commands are all a fresh machine needs: `make demo` and `make test`. Both prepare .venv on first use.
#
#   PYTHON=python3.12       the interpreter to make .venv with (3.10 to 3.13)
#   USE_ACTIVE_ENV=1        install into the activated environment instead of .venv; a torch in it is kept
#   TORCH=torch==2.13.0     the torch to install where there is none
#   COMPILE_OPERATORS=1     compile MMCV's operators in place of those in PyTorch (needs a C++ compiler)

PYTHON ?= $(shell command -v python3.11 || command -v python3.13 || command -v python3.12 || command -v python3.10 || command -v python3)
TORCH ?= torch==2.13.0
ifeq ($(USE_ACTIVE_ENV),1)
ENVIRONMENT := $(or $(VIRTUAL_ENV),$(CONDA_PREFIX))
ifeq ($(ENVIRONMENT),)
$(error USE_ACTIVE_ENV=1, but no environment is activated)
endif
else
ENVIRONMENT := .venv
endif
BIN := $(ENVIRONMENT)/bin
READY := $(ENVIRONMENT)/.instance_segmentation_pipeline$(if $(filter 1,$(COMPILE_OPERATORS)),-compiled)

.PHONY: help demo test quick coverage lint format clean
help: ## what can be made
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 12

demo: $(READY) ## train, measure and report the project in examples/coins
	$(BIN)/musket fit --project examples/coins --name coins --allow_resume true
	$(BIN)/musket task --project examples/coins --name coins --task confusion_matrix
	$(BIN)/musket analize --inputFolder examples/coins

test: lint ## all checks and all tests
	$(BIN)/python -m pytest

quick: $(READY) ## the tests that take under three minutes
	$(BIN)/python -m pytest -m "not slow and not zoo and not cluster"

coverage: $(READY) ## all tests with the lines that they run in any process; fails below the floor in pyproject.toml
	rm -rf build/coverage && mkdir -p build/coverage
	$(BIN)/coverage run -m pytest
	$(BIN)/coverage combine --quiet
	$(BIN)/coverage report

lint: $(READY) ## style, types, declared dependencies, rules of rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/deptry instance_segmentation_pipeline
	$(BIN)/lint-imports

format: $(READY) ## mend style where that is possible
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

$(READY): setup.py pyproject.toml instance_segmentation_pipeline.pth tools/prepare_environment.sh
	PYTHON="$(PYTHON)" TORCH="$(TORCH)" COMPILE_OPERATORS="$(COMPILE_OPERATORS)" bash tools/prepare_environment.sh $(ENVIRONMENT)
	@touch $@

clean: ## remove .venv and what was built
	rm -rf .venv build *.egg-info
