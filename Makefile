# make chat              build everything into .venv and open the console chat
# make test              run all tests
# make test-mesh         10,000 random meshes in virtual time, and 1,000 nodes: more of what make test does
# make test-delivery     100,000 messages among 100 nodes that crash, disks that fail and nets that fall apart, in virtual time
# make fuzz              FUZZ_SECONDS=60: random inputs for each fuzz target, that long
# make bench             streams beside the kernel's TCP and bare frames, as root, into docs/BENCHMARKS.md
# make bench-instructions  what streams and relays take of the processor, counted by valgrind, into docs/BENCHMARKS.md
# make bench-mesh        meshes of 10 to 1,000 nodes in virtual time, into docs/BENCHMARKS.md
# make bench-mesh-peers  MeshChat beside babeld on the same meshes, into docs/BENCHMARKS.md
# make lint              formatting, clippy, documentation, types
# make libraries         libmeshchat, the console chat and the netcat in C, in target/release
# make install           PREFIX=/usr/local [DESTDIR=]: these, with header and pkg-config file
# make clean             remove everything that was built
#
# chat and test install what they need; what needs root and cannot have it says so. PYTHON=python3.12 makes .venv with
# another Python; make clean first, if there is one already.

PYTHON ?= python3
export PYTHON

VENV := .venv
BIN := $(VENV)/bin
TESTED_PREFIX := $(CURDIR)/target/installed

FUZZ_TARGETS := stream_operations stream_packets frames
FUZZ_SECONDS ?= 60

# All of the tree that the package and the library are made from.
CORE := Cargo.toml Cargo.lock meshcore/Cargo.toml $(shell find meshcore/src -type f)
BINDING := $(CORE) python/Cargo.toml $(shell find python/src -type f)
PACKAGE := python/pyproject.toml python/README.md $(shell find python/meshchat -name '*.py' -o -name '*.pyi')
FFI := $(CORE) ffi/Cargo.toml ffi/build.rs $(shell find ffi/src -type f)

# It has targets of its own.
.DEFAULT_GOAL := chat
include ffi/install.mk

STREAMS_C := $(LIBRARY_DIR)/streams/application

# Cargo spreads its work over the cores itself, and does not understand make's way of sharing them.
.NOTPARALLEL:
unexport MAKEFLAGS MFLAGS

.PHONY: chat test test-rust test-python test-end-to-end test-mesh test-delivery fuzz bench bench-instructions bench-mesh bench-mesh-peers lint libraries install clean
.DELETE_ON_ERROR:

# 130: ended by Ctrl-C, which is no error here.
chat: $(VENV)/.installed
	@$(BIN)/meshchat chat || [ $$? -eq 130 ]

# -- what is built ------------------------------------------------------------------------------------------------

$(VENV)/.made:
	@scripts/need python cc cargo
	"$(PYTHON)" -m venv --clear $(VENV)
	@touch $@

# pip shows nothing of a build: the long part of it is done before, where one can see it go on.
$(VENV)/.compiled: $(VENV)/.made $(BINDING)
	@scripts/need cargo cc
	@echo "building the package; the first time takes some minutes"
	PYO3_PYTHON='$(CURDIR)/$(BIN)/python' cargo build --release -p meshchat-python
	@touch $@

$(VENV)/.installed: $(VENV)/.compiled $(PACKAGE)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check ./python
	@touch $@

$(VENV)/.test-tools: $(VENV)/.made python/tests/requirements.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r python/tests/requirements.txt
	@touch $@

$(VENV)/.plot-tools: $(VENV)/.made
	$(BIN)/python -m pip install --quiet --disable-pip-version-check matplotlib
	@touch $@

# -- tests --------------------------------------------------------------------------------------------------------

test: test-rust test-python test-end-to-end

test-rust:
	@scripts/need cargo cc c++ make nm readelf valgrind ip unshare namespaces
	cargo test --workspace --exclude meshchat-python
	@echo "the core alone, without anything that does input or output"
	cargo test -p meshcore --no-default-features --test sim

test-python: $(VENV)/.installed $(VENV)/.test-tools
	$(BIN)/python -m pytest python/tests

test-end-to-end: $(VENV)/.installed $(VENV)/.test-tools libraries
	@scripts/need cc faketime ip nft nsenter openssl pkg-config setpriv sqlite3 sysctl unshare namespaces
	@$(MAKE) --no-print-directory install-c PREFIX='$(TESTED_PREFIX)' DESTDIR=
	@# As test-rust has built it: what else is built along decides which features the dependencies have, and so whether they are built anew.
	cargo build --workspace --exclude meshchat-python --examples --tests
	MESHCHAT_C_CHAT='$(TESTED_PREFIX)/bin/meshchat-chat-c' \
	    MESHCHAT_ENVELOPE='$(TARGET_DIR)/debug/examples/envelope' $(BIN)/python -m pytest tests

# Some minutes.
test-mesh:
	@scripts/need cargo cc
	MESH_CASES=10000 cargo test --release -p meshcore --no-default-features --test mesh

# Some minutes.
test-delivery:
	@scripts/need cargo cc
	DELIVERY_NODES=100 DELIVERY_MESSAGES=100000 \
	    cargo test --release -p meshcore --no-default-features --lib every_accepted_message -- --nocapture

# FUZZ_TARGETS=frames runs one of them. What they find is left in meshcore/fuzz/artifacts. Nothing below the driver is unsafe, so
# that no sanitizer is needed, and with it no unstable compiler.
fuzz:
	@scripts/need cargo cc c++
	@cargo fuzz --version >/dev/null 2>&1 || cargo install --locked cargo-fuzz
	cp Cargo.lock meshcore/fuzz/Cargo.lock
	for target in $(FUZZ_TARGETS); do \
		mkdir -p meshcore/fuzz/corpus/$$target && \
		(cd meshcore && cargo fuzz run --sanitizer none --target-dir '$(abspath $(TARGET_DIR))/fuzz' $$target \
			fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -max_len=4096 -timeout=60 -print_final_stats=1) || exit 1; \
	done

# Ten minutes; other work on the machine disturbs it. STREAMS_ONLY=bulk,loss,relays,sharing,trips,messages,durable,memory shows parts
# of it, and writes nothing.
bench: $(STREAMS_C) $(VENV)/.installed
	@scripts/need cargo cc ip iperf3 nft tc
	STREAMS_C='$(abspath $(STREAMS_C))' STREAMS_PYTHON='$(CURDIR)/$(BIN)/python' \
	    cargo bench -p meshcore --bench streams

# The application in C that is measured finds the library beside itself.
$(STREAMS_C): $(LIBRARY_DIR)/libmeshchat.so meshcore/benches/streams/application.c ffi/tests/c/check.h include/meshchat.h
	@mkdir -p '$(@D)'
	ln -sf ../libmeshchat.so '$(@D)/libmeshchat.so.$(MESHCHAT_ABI)'
	$(CC) -std=c99 -D_POSIX_C_SOURCE=200809L -O2 -g -Wall -Wextra -Wpedantic -Iinclude -Iffi/tests/c -o $@ \
	    meshcore/benches/streams/application.c -L'$(LIBRARY_DIR)' -lmeshchat -Wl,-rpath,'$$ORIGIN'

# Other work on the machine does not disturb this.
bench-instructions:
	@scripts/need cargo cc valgrind
	cargo bench -p meshcore --no-default-features --bench transport -- instructions

# The results depend on code and seeds, not on the machine. MESH_SIZES=10,100 leaves out the largest, which takes by far the
# longest.
bench-mesh: $(VENV)/.plot-tools
	@scripts/need cargo cc
	cargo bench -p meshcore --no-default-features --bench mesh
	$(BIN)/python scripts/plot_mesh.py

# Half an hour; other work on the machine disturbs it.
bench-mesh-peers: $(VENV)/.installed
	@scripts/need babeld ip nsenter openssl setpriv sysctl unshare namespaces
	$(BIN)/python tests/bench_mesh_peers.py

lint: $(VENV)/.installed $(VENV)/.test-tools
	@scripts/need cargo clippy rustfmt
	cargo fmt --check
	PYO3_PYTHON='$(CURDIR)/$(BIN)/python' cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy -p meshcore --no-default-features --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --no-deps -p meshcore
	cd python && for part in meshchat tests ../tests ../examples/python ../meshcore/benches/streams; do ../$(BIN)/python -m mypy $$part || exit 1; done

# -- libmeshchat --------------------------------------------------------------------------------------------------

# A file, so that "sudo make install" after "make libraries" needs no cargo.
$(LIBRARY_DIR)/libmeshchat.so: $(FFI)
	@scripts/need cargo cc
	cargo build --release -p meshchat-ffi
	@touch $@

libraries: $(LIBRARY_DIR)/libmeshchat.so c-programs

install: libraries install-c

clean:
	rm -rf $(VENV) '$(TARGET_DIR)'
