PYTHON ?= python3

.PHONY: env report reproduction test test-all lint format
env report reproduction test test-all lint format:
	@$(PYTHON) make.py $@
