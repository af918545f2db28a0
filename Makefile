# Everything there is to do with this repository. "make help" lists it.

SHELL := /bin/bash
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

export CGO_ENABLED := 0

# Binaries are static and leave out what only debuggers read.
GO_BUILD := go build -trimpath -ldflags "-s -w"
PROGRAMS := bulkhead bulkheadd bulkhead-vmm
GUEST    := bin/guest

# The demo's root file system: Debian's python3 with all it depends on, and a shell.
PYTHON_ROOT := bin/python3.tar

# What the tests use beside what the guest's kernel takes to build.
TEST_PACKAGES  := busybox-static cpio e2fsprogs erofs-utils iproute2 libc6-dev mount systemd python3 python3-venv
BENCH_PACKAGES := qemu-system-x86

STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install the Debian packages that building and testing take
	@tests/tools/apt-install $$(go run ./guestkernel/mkguest --print-packages) $(TEST_PACKAGES)

.PHONY: build
build: ## Build the programs into bin/
	@mkdir -p bin
	@$(GO_BUILD) -o bin/ $(addprefix ./cmd/,$(PROGRAMS))

.PHONY: man
man: build ## Write the programs' manual pages into out/man
	@mkdir -p out
	@bin/bulkhead man out/man
	@bin/bulkheadd man out/man

.PHONY: guest
guest: setup ## Build the guest's kernel, initramfs and userland into bin/guest
	@go run ./guestkernel/mkguest -o $(GUEST)

.PHONY: python-root
python-root: setup
	@go run ./tests/debroot -o $(PYTHON_ROOT) python3 coreutils dash

.PHONY: demo
demo: build guest python-root ## Run a Python program in a kernel of its own
	@tests/demo/run

.PHONY: test
test: lint proto-check build guest python-root ## Run all tests, on real guests where there is KVM
	go test -timeout 60m ./...
	@tests/fuzz 3s

.PHONY: lint
lint: ## Look for mistakes that compilers and tests don't see
	go vet ./...
	go run $(STATICCHECK) ./...

.PHONY: bench
bench: build guest setup-bench ## Measure against QEMU and the bare ioctl sequence, by BENCHFLAGS; write out/bench
	@go run ./tests/bench -o out/bench $(BENCHFLAGS)

.PHONY: setup-bench
setup-bench:
	@tests/tools/apt-install $(BENCH_PACKAGES)

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (default 1m), FUZZJOBS at once
	@tests/fuzz $(or $(FUZZTIME),1m) $(FUZZJOBS)

.PHONY: generate
generate: setup ## Regenerate Go code from the .proto files
	@tests/tools/protos generate

.PHONY: proto-check
proto-check: setup ## See that the .proto files are good, break no client, and that their Go code is theirs
	@tests/tools/protos check

.PHONY: proto-release
proto-release: setup ## Have "make proto-check" hold later .proto files against those of now
	@tests/tools/protos release

.PHONY: clean
clean: ## Delete what was built here; caches outside stay
	rm -rf bin out
