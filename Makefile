# Every target works on a fresh clone: what is missing is installed and fetched first.
SHELL := /usr/bin/env bash
.DEFAULT_GOAL := help
.PHONY: help demo test test-gpu sanitize fuzz-smoke bench setup clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' $(MAKEFILE_LIST) | expand -t 20

demo: ## A real model answers: from the command line, then from a C program
	@ci/setup.sh demo
	@ci/fetch.py demo
	@ci/demo.sh

test: ## Everything that must hold before a change lands
	@ci/setup.sh test
	@ci/fetch.py test
	@ci/test.sh

test-gpu: ## The Vulkan back end against the CPU, on any Vulkan device (a software one counts)
	@ci/setup.sh test
	@ci/fetch.py test
	@ci/test-gpu.sh

sanitize: ## The misuse programs under AddressSanitizer and UBSan, engine included
	@ci/setup.sh test
	@ci/fetch.py test
	@ci/sanitize.sh

fuzz-smoke: ## 20,000 mutations of a tiny valid model in child processes
	@ci/setup.sh test
	@ci/fuzz-smoke.sh

bench: ## Speed and memory against the engine itself and its peers (benches/RESULTS.md)
	@ci/setup.sh test
	@ci/fetch.py test
	@benches/run.sh

setup: ## Only install what is missing and fetch what the tests need
	@ci/setup.sh test
	@ci/fetch.py test

clean: ## Remove build outputs (not the fetched models: those are in ~/.cache/nestling)
	rm -rf target
