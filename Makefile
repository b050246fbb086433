# make chat              build everything into .venv and open the console chat
# make test              run all tests
# make test-mesh         10,000 random meshes in virtual time, and 1,000 nodes: more of what make test does
# make bench             streams beside the kernel's TCP and bare frames, as root, into docs/BENCHMARKS.md
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

# All of the tree that the package and the library are made from.
CORE := Cargo.toml Cargo.lock meshcore/Cargo.toml $(shell find meshcore/src -type f)
BINDING := $(CORE) python/Cargo.toml $(shell find python/src -type f)
PACKAGE := python/pyproject.toml python/README.md $(shell find python/meshchat -name '*.py' -o -name '*.pyi')
FFI := $(CORE) ffi/Cargo.toml ffi/build.rs $(shell find ffi/src -type f)

# Cargo spreads its work over the cores itself, and does not understand make's way of sharing them.
.NOTPARALLEL:
unexport MAKEFLAGS MFLAGS

.PHONY: chat test test-rust test-python test-end-to-end test-mesh bench bench-mesh bench-mesh-peers lint libraries install clean
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
	@scripts/need cc ip nft nsenter openssl pkg-config setpriv sysctl unshare namespaces
	@$(MAKE) --no-print-directory install-c PREFIX='$(TESTED_PREFIX)' DESTDIR=
	MESHCHAT_C_CHAT='$(TESTED_PREFIX)/bin/meshchat-chat-c' $(BIN)/python -m pytest tests

# Some minutes.
test-mesh:
	@scripts/need cargo cc
	MESH_CASES=10000 cargo test --release -p meshcore --no-default-features --test mesh

# Some minutes; other work on the machine disturbs it. STREAMS_ONLY=bulk,loss,trips,messages shows parts of it.
bench:
	@scripts/need cargo cc ip iperf3 nft
	cargo bench -p meshcore --bench streams

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
	cd python && for part in meshchat tests ../tests ../examples/python; do ../$(BIN)/python -m mypy $$part || exit 1; done

# -- libmeshchat --------------------------------------------------------------------------------------------------

include ffi/install.mk

# A file, so that "sudo make install" after "make libraries" needs no cargo.
$(LIBRARY_DIR)/libmeshchat.so: $(FFI)
	@scripts/need cargo cc
	cargo build --release -p meshchat-ffi
	@touch $@

libraries: $(LIBRARY_DIR)/libmeshchat.so c-programs

install: libraries install-c

clean:
	rm -rf $(VENV) '$(TARGET_DIR)'
