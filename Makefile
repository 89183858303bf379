# Everything a developer runs. Each check is a script of .ci/, so that CI runs the same.
#
#   make demo FILES="a.log b.log"     make fuzz-smoke FUZZ_SECONDS=300     make soak SOAK_SECONDS=3600

# Checks are run one after the other: each uses all cores by itself.
.NOTPARALLEL:
.DEFAULT_GOAL := help

FUZZ_SECONDS ?= 30
SOAK_SECONDS ?= 600
export FUZZ_SECONDS SOAK_SECONDS

CHECKS := peers fmt clippy unit faults faults-absent header-drift c-package python java doctest docs loom fuzz-smoke miri

.PHONY: help demo test soak bench bench-bindings docs-generate $(CHECKS)

help: ## this list
	@awk -F ': .*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile
	@echo "  one check only: make $(CHECKS)"

demo: ## log to three receivers, kill one, compare what arrived (FILES="..." for lines of your own)
	cargo run --release --features cli --example demo -- $(FILES)

test: $(CHECKS) ## install what the tests need, then run every check

$(CHECKS):
	@.ci/$@

soak: ## all suites with large counts (2 h), then all tests again and again, and fuzzing; SOAK_SECONDS each
	@.ci/soak

bench: ## the benches, and the comparison with rival libraries
	@.ci/bench

bench-bindings: ## the table of what the bindings cost, with its limits
	@.ci/bench-bindings

docs-generate: ## rewrite docs/configuration.md from the option table
	LOGDRIVE_DOCS_WRITE=1 cargo test --test configuration_docs
