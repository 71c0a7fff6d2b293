PYTHON ?= python3

.PHONY: env report test test-all lint format
env report test test-all lint format:
	@$(PYTHON) make.py $@
