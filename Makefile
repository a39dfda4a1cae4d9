PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
DEPENDENCIES := pyproject.toml constraints.txt
TEST_EXTRAS := train,evaluation,dev

.DEFAULT_GOAL := help
.PHONY: demo test check clean help
.DELETE_ON_ERROR:
.NOTPARALLEL:

# $(call install,EXTRAS,STAMPS): make the virtual environment if there is none that works, install into it,
# and leave the stamps only when all of that succeeded.
define install
@rm -f $(2)
@command -v $(PYTHON) >/dev/null 2>&1 || { \
	echo "stance needs Python 3.11 or newer, but '$(PYTHON)' was not found. Try: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "stance needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Try: make $(MAKECMDGOALS) PYTHON=python3.11" >&2; exit 1; }
@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv $(VENV)
@$(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	echo "$(VENV) holds a Python older than 3.11. Run 'make clean', then try again." >&2; exit 1; }
@echo "Installing stance[$(1)] into $(VENV) (only needed once) ..."
@$(BIN)/python -m pip install -q -c constraints.txt -e '.[$(1)]'
@touch $(2)
endef

# $(call show,COMMAND): print a stance command as a user would type it, then run it.
define show
@printf '\n$$ stance %s\n' '$(1)'
@$(BIN)/stance $(1)
endef

help:
	@echo "make demo    annotations to statements, predict, evaluate; results in runs/demo (installs without torch)"
	@echo "make test    run the tests (installs everything, torch included)"
	@echo "make check   ruff and mypy"
	@echo "make clean   remove .venv, runs, caches and built packages"
	@echo "PYTHON=...   the Python that makes .venv, 3.11 or newer (now: $(PYTHON))"

$(VENV)/.demo: $(DEPENDENCIES)
	$(call install,evaluation,$@)

# Holds all that the demo needs, so it counts for both.
$(VENV)/.test: $(DEPENDENCIES)
	$(call install,$(TEST_EXTRAS),$@ $(VENV)/.demo)

demo: $(VENV)/.demo
	$(call show,annotations convert data/annotations/articles/annotations.jsonl --corpus data/articles -o runs/demo/statements.csv)
	$(call show,predict runs/demo/statements.csv -o runs/demo/predictions.csv)
	$(call show,evaluate --gold runs/demo/statements.csv)

test: $(VENV)/.test
	@$(BIN)/python -m pytest

check: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) runs build dist *.egg-info
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage htmlcov
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
