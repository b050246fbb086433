# make chat     build everything into .venv and open the console chat
# make test     run all tests
# make lint     formatting, clippy, documentation, types
# make install  PREFIX=/usr/local [DESTDIR=]: libmeshchat, header, pkg-config file, C chat
# Both of the first two install what they need; what needs root and cannot have it says so.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := $(shell find Cargo.toml Cargo.lock meshcore/src meshcore/Cargo.toml python ffi/Cargo.toml -type f \
	-not -path '*/__pycache__/*' -not -path '*/.pytest_cache/*' -not -path '*/.mypy_cache/*' -not -name '*.so' 2>/dev/null)

INSTALLED := $(abspath target/installed)

.PHONY: chat test test-rust test-python test-end-to-end lint install libraries clean

chat: $(VENV)/.built
	@$(BIN)/meshchat chat

$(VENV)/bin/python:
	@scripts/need cargo:cargo cc:gcc py-ensurepip:python3-venv
	$(PYTHON) -m venv $(VENV)

$(VENV)/.built: $(VENV)/bin/python $(SOURCES)
	@scripts/need cargo:cargo cc:gcc
	@echo "building the package (the first time takes some minutes) ..."
	$(BIN)/pip install --quiet --disable-pip-version-check ./python
	@touch $@

$(VENV)/.test-tools: $(VENV)/.built python/pyproject.toml
	$(BIN)/pip install --quiet --disable-pip-version-check './python[test]'
	@touch $@

test: test-rust test-python test-end-to-end

test-rust:
	@scripts/need cargo:cargo cc:gcc c++:g++ valgrind:valgrind ip:iproute2 unshare:util-linux
	cargo test --workspace
	cargo test -p meshcore --no-default-features

test-python: $(VENV)/.test-tools
	$(BIN)/python -m pytest python/tests

test-end-to-end: $(VENV)/.test-tools
	@scripts/need ip:iproute2 tcpdump:tcpdump setpriv:util-linux unshare:util-linux
	$(MAKE) install PREFIX=$(INSTALLED)
	MESHCHAT_C_CHAT=$(INSTALLED)/bin/meshchat-chat-c $(BIN)/python -m pytest tests

libraries:
	@scripts/need cargo:cargo cc:gcc make:make
	cargo build --release -p meshchat-ffi

install: libraries
	$(MAKE) install-c

lint: $(VENV)/.test-tools
	cargo fmt --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p meshcore --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps -p meshcore

clean:
	cargo clean
	rm -rf $(VENV)

include ffi/install.mk
