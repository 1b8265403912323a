# Every target installs what it needs into .venv first. Without make: see README.md.
#   ARGS   what to run:     make test ARGS=tests/test_images.py     make reproduce ARGS="all --profile quick"
#   JOBS   how many at a time                                     PYTHON   which Python makes .venv

PYTHON = $(shell python3.11 -c 'import sys; print(sys.executable)' 2>/dev/null || command -v python3)
BIN := .venv/bin
READY := .venv/.ready

.DEFAULT_GOAL := help
.PHONY: help lab reproduce test

help:
	@echo 'make lab         open the notebooks in JupyterLab'
	@echo 'make reproduce   run 00_start_here, or ARGS, headlessly; results go to runs/'
	@echo 'make test        check style, then run the tests, or ARGS'

lab: $(READY)
	$(BIN)/python -m jupyterlab notebooks

reproduce: $(READY)
	$(BIN)/python -m apdlab reproduce $(or $(ARGS),00_start_here) $(if $(JOBS),--jobs $(JOBS))

# One OpenMP thread a process: two that share a busy core wait for each other, and are 10 to 100 times slower.
test: export OMP_NUM_THREADS = 1
test: $(READY)
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m pytest -n $(or $(JOBS),2) --dist loadfile $(ARGS)

$(READY): pyproject.toml constraints.txt
	"$(PYTHON)" -m venv .venv
	$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e ".[test]"
	@touch $@
