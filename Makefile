PYTHON ?= python3

.PHONY: env report test lint format
env report test lint format:
	@$(PYTHON) make.py $@
