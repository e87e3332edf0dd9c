# make demo    a running fabric to look at from the shell
# make test    everything, on a fresh machine
# make help    the rest

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

export CGO_ENABLED ?= 0
export GOTOOLCHAIN := local
# For every go command, the linters' too: they then share one build cache.
export GOFLAGS := $(GOFLAGS) -trimpath

GO      ?= go
BUILD   := $(GO) build -trimpath
TOOLS   := bin/tools
ASSETS  := internal/web/assets/app.js
MODULES := . vlab bench tools tools/kube

.PHONY: help build assets crash chaos soak bench-serve demo demo-stop test test-kube bench lint fmt deps clean race

help: ## this text
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: bin/hedgerow bin/vlab ## bin/hedgerow and bin/vlab

# What browsers get is made of web/ and two packages from npm, and is embedded.
assets: $(ASSETS) ## what browsers get, from web/
$(ASSETS): web/package-lock.json $(wildcard web/*.ts web/*.css) tools/assets/main.go tools/go.mod
	@command -v npm >/dev/null || { echo "npm is needed for what browsers get: install Node.js"; exit 1; }
	@cd web && npm ci --ignore-scripts --no-audit --no-fund --loglevel error >/dev/null
	@cd tools && $(GO) run -trimpath ./assets -from ../web -to ../internal/web/assets

# Go knows better than make what is out of date, and is quick to say so.
.PHONY: bin/hedgerow bin/vlab
bin/hedgerow: check-go $(ASSETS)
	@$(BUILD) -o $@ ./cmd/hedgerow
bin/vlab: check-go
	@[ -x $@ ] || echo "building vlab, a real Kubernetes API server: about six minutes the first time, seconds after that"
	@cd vlab && $(BUILD) -ldflags "-s -w" -o ../$@ .

demo: build ## start demo fabrics and a server that observes them, and say what to look at
	@demo/up

demo-stop: ## stop the demo
	@demo/down

test: deps build $(TOOLS)/gotestsum ## every test (needs no network but the package registries)
	@$(TOOLS)/gotestsum --format pkgname-and-test-fails --format-hide-empty-pkg -- -trimpath -short -parallel 8 -timeout 15m ./...
	@cd vlab && ../$(TOOLS)/gotestsum --format pkgname-and-test-fails --format-hide-empty-pkg -- -trimpath -timeout 15m ./...

crash: deps build $(TOOLS)/gotestsum ## kill -9 at fifty random instants on each engine (make test has twelve)
	@$(TOOLS)/gotestsum --format standard-verbose -- -trimpath -timeout 20m -count 1 -run TestCrash ./e2e/

chaos: deps build $(TOOLS)/gotestsum ## serve and workers killed, paused, filled up, their database restarted, in full (make test has a bounded form)
	@HEDGEROW_CHAOS=full $(TOOLS)/gotestsum --format standard-verbose -- -trimpath -timeout 90m -count 1 -run TestChaos ./e2e/

soak: deps build $(TOOLS)/gotestsum ## fifteen minutes of changes: nothing may grow (SOAK=5m for less)
	@HEDGEROW_SOAK=$(or $(SOAK),15m) $(TOOLS)/gotestsum --format standard-verbose -- -trimpath -timeout 60m -count 1 -run TestServeSoak ./e2e/

race: deps build ## the tests of concurrent packages under the race detector (needs cgo)
	CGO_ENABLED=1 $(GO) test -race -short -timeout 20m . ./internal/...

test-kube: deps build bin/kube $(TOOLS)/gotestsum ## the end-to-end tests against a full kube-apiserver (builds it once: half an hour)
	@HEDGEROW_TEST_KUBE=$(CURDIR)/bin/kube $(TOOLS)/gotestsum --format standard-verbose -- -trimpath -timeout 20m -count 1 -run 'TestReference|TestRealSchemas' ./e2e/

bench: deps build ## measure what BENCHMARKS.md holds (about twenty minutes)
	@cd bench && $(GO) run -trimpath . -bin ../bin $(BENCHFLAGS)

bench-serve: deps build ## measure serve for BENCHMARKS.md: edit to row, passes, idle (about forty minutes)
	@HEDGEROW_NUMBERS=1 $(GO) test -trimpath -timeout 90m -count 1 -v -run TestNumbers ./e2e/

lint: check-go $(ASSETS) $(TOOLS)/golangci-lint ## formatting, vet, static analysis, known vulnerabilities
	@for m in $(MODULES); do (cd $$m && $(CURDIR)/$(TOOLS)/golangci-lint run --config $(CURDIR)/.golangci.yaml ./... && $(GO) vet ./...); done
	@if curl -fsS -m 10 -o /dev/null https://vuln.go.dev/index/modules.json 2>/dev/null; \
	then $(GO) run golang.org/x/vuln/cmd/govulncheck@v1.9.0 ./...; \
	else echo "govulncheck skipped: its data at vuln.go.dev cannot be reached from here"; fi

fmt: $(TOOLS)/golangci-lint ## format every Go file
	@for m in $(MODULES); do (cd $$m && $(CURDIR)/$(TOOLS)/golangci-lint fmt --config $(CURDIR)/.golangci.yaml ./...); done

$(TOOLS)/golangci-lint $(TOOLS)/gotestsum: tools/go.mod
	@echo "building $(@F): up to three minutes the first time"
	@cd tools && $(BUILD) -ldflags "-s -w" -o ../$(TOOLS)/ $$(sed -n 's/^\t\(.*$(@F)\)$$/\1/p' go.mod | head -1)
	@touch $@

# A full kube-apiserver with etcd, and what starts them; bin/kube/VERSION keeps half an hour from being spent twice.
KUBE = $(shell awk '$$1 == "k8s.io/kubernetes" { print $$2 }' tools/kube/go.mod)
.PHONY: bin/kube
bin/kube: check-go
	@mkdir -p $@ && cd tools/kube && $(BUILD) -ldflags "-s -w" -o ../../$@/kube .
	@[ "$$(cat $@/VERSION 2>/dev/null)" = "$(KUBE)" ] && exit; \
	echo "building etcd and kube-apiserver $(KUBE) from their Go modules: ten to forty minutes, once"; \
	cd tools/kube; v=k8s.io/component-base/version; n=$$(cut -d. -f2 <<<"$(KUBE)"); \
	$(BUILD) -ldflags "-s -w" -o ../../$@/etcd go.etcd.io/etcd/server/v3; \
	$(BUILD) -ldflags "-s -w -X $$v.gitVersion=$(KUBE) -X $$v.gitMajor=1 -X $$v.gitMinor=$$n -X $$v.gitCommit=modproxy -X $$v.gitTreeState=clean" -o ../../$@/kube-apiserver k8s.io/kubernetes/cmd/kube-apiserver; \
	echo "$(KUBE)" >../../$@/VERSION

check-go:
	@command -v $(GO) >/dev/null || { echo "Go 1.26 or later is needed: https://go.dev/dl"; exit 1; }
.PHONY: check-go

# PostgreSQL's programs, for tests on both engines, and a browser; no service is started.
deps: check-go
	@if ! ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 && ! command -v initdb >/dev/null; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "installing PostgreSQL from Debian's packages"; \
			mkdir -p /etc/postgresql-common && echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.conf; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends postgresql >/dev/null; \
		else echo "PostgreSQL is needed for the tests: install Debian's package 'postgresql'"; exit 1; fi; fi
	@if [ ! -x "$${HEDGEROW_CHROMIUM:-/usr/bin/chromium}" ]; then \
		if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
			echo "installing Chromium from Debian's packages"; \
			apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-dejavu-core >/dev/null; \
		else echo "Chromium is needed for the tests: install Debian's package 'chromium', or say where it is in HEDGEROW_CHROMIUM"; exit 1; fi; fi

clean: ## remove what was built
	rm -rf bin .demo web/node_modules internal/web/assets/app.* internal/web/assets/theme.* e2e/screens
