# `make` alone tells what there is.

CARGO ?= cargo
# How often `make crash` kills the gateway, on each store.
KILLS ?= 300
# How long `make chaos` rages (90s, 10m, 2h), and on which store: embedded, redis; neither is both, one after the other.
DURATION ?= 10m
STORE ?=
# Arguments of the benchmark: see docs/performance.md.
BENCH ?=

.PHONY: help setup test check-ops lint bench bench-micro instructions demo crash chaos

help:
	@echo 'make setup          install what the tests need beside Rust (redis-server, promtool)'
	@echo 'make test           every test'
	@echo 'make check-ops      the checks of tests/ops, which need more tools than the tests do and install them'
	@echo 'make lint           format and lints, as the checks of a change run them'
	@echo 'make bench          the speed on this machine, beside baselines (twenty minutes): BENCH=--quick for less'
	@echo 'make bench-micro    the time of each step of a request and each operation of each store'
	@echo 'make instructions   instructions per request, counted by valgrind'
	@echo 'make demo           the gateway with example receivers and signed webhooks'
	@echo 'make crash          the long run of kills: KILLS=$(KILLS)'
	@echo 'make chaos          random faults of everything: DURATION=$(DURATION) STORE=embedded or redis, both if not set'

setup:
	@deploy/setup

# Most tests wait for something most of the time.
test: setup
	RUST_TEST_THREADS=$$(($$(nproc) * 2 + 1)) $(CARGO) test --locked

# Each says what it needs, and installs it by deploy/setup. One that fails does not hide the next.
check-ops:
	@failed=; for check in tests/ops/*.sh; do \
		echo "== $$check"; CARGO="$(CARGO)" "$$check" || failed="$$failed $$check"; \
	done; test -z "$$failed" || { echo "failed:$$failed" >&2; exit 1; }

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings

bench: setup
	$(CARGO) bench --locked --bench gateway -- $(BENCH)

bench-micro: setup
	$(CARGO) bench --locked --bench micro

instructions:
	@CARGO="$(CARGO)" benches/callgrind

demo:
	$(CARGO) run --release -- demo

crash: setup
	HOOKGATE_KILLS=$(KILLS) $(CARGO) test --release --test it crash:: -- --nocapture

chaos: setup
	@number='$(DURATION)'; number=$${number%[smh]}; \
	case "$$number" in ''|*[!0-9]*) echo 'DURATION is 90s, 10m or 2h, not $(DURATION)' >&2; exit 2;; esac; \
	case '$(DURATION)' in *h) seconds=$$((number * 3600));; *m) seconds=$$((number * 60));; *) seconds=$$((number));; esac; \
	HOOKGATE_CHAOS_SECONDS=$$seconds $(CARGO) test --release --test it chaos::$(STORE) -- --nocapture --test-threads=1
