# Installs the C side: library, header, pkg-config file, and the console chat and the netcat in C. Included by the Makefile above, and
# run from there, after a build: make install PREFIX=/usr/local DESTDIR=

PREFIX ?= /usr/local
DESTDIR ?=
INSTALL ?= install

# Where cargo puts the libraries.
TARGET_DIR := $(or $(CARGO_TARGET_DIR),target)
LIBRARY_DIR := $(TARGET_DIR)/release

MESHCHAT_VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
MESHCHAT_ABI := $(shell sed -n 's/^\#define MESHCHAT_ABI_VERSION //p' include/meshchat.h)

C_CHAT := $(LIBRARY_DIR)/meshchat-chat-c
C_NETCAT := $(LIBRARY_DIR)/meshchat-netcat-c
C_SOURCES := $(wildcard examples/c/*.c examples/c/*.h) examples/c/Makefile include/meshchat.h

# The programs find the library beside them, wherever the tree is moved. Paths are seen from its own folder.
from_examples = $(if $(filter /%,$(1)),$(1),../../$(1))
.PHONY: c-programs
c-programs: $(C_CHAT) $(C_NETCAT)
$(C_CHAT) $(C_NETCAT): $(LIBRARY_DIR)/libmeshchat.so $(C_SOURCES)
	$(MAKE) --no-print-directory -B -C examples/c '$(call from_examples,$@)' \
	    PROGRAM='$(call from_examples,$(C_CHAT))' NETCAT='$(call from_examples,$(C_NETCAT))' \
	    MESHCHAT_CFLAGS=-I../../include \
	    MESHCHAT_LIBS='-L$(call from_examples,$(LIBRARY_DIR)) -lmeshchat -Wl,-rpath,\$$$$ORIGIN/../lib'

.PHONY: install-c
install-c: c-programs
	$(INSTALL) -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/include' '$(DESTDIR)$(PREFIX)/lib/pkgconfig'
	$(INSTALL) -m 755 $(LIBRARY_DIR)/libmeshchat.so '$(DESTDIR)$(PREFIX)/lib/libmeshchat.so.$(MESHCHAT_VERSION)'
	ln -sf libmeshchat.so.$(MESHCHAT_VERSION) '$(DESTDIR)$(PREFIX)/lib/libmeshchat.so.$(MESHCHAT_ABI)'
	ln -sf libmeshchat.so.$(MESHCHAT_ABI) '$(DESTDIR)$(PREFIX)/lib/libmeshchat.so'
	$(INSTALL) -m 644 $(LIBRARY_DIR)/libmeshchat.a '$(DESTDIR)$(PREFIX)/lib/libmeshchat.a'
	$(INSTALL) -m 644 include/meshchat.h '$(DESTDIR)$(PREFIX)/include/meshchat.h'
	sed -e 's|@PREFIX@|$(PREFIX)|' -e 's|@VERSION@|$(MESHCHAT_VERSION)|' ffi/meshchat.pc.in \
	    > '$(DESTDIR)$(PREFIX)/lib/pkgconfig/meshchat.pc'
	$(INSTALL) -m 755 '$(C_CHAT)' '$(DESTDIR)$(PREFIX)/bin/meshchat-chat-c'
	$(INSTALL) -m 755 '$(C_NETCAT)' '$(DESTDIR)$(PREFIX)/bin/meshchat-netcat-c'
	@# Without this the loader does not know a new library in its usual folders. Only root can, and need not elsewhere.
	@if [ -z '$(DESTDIR)' ] && [ "$$(id -u)" = 0 ]; then ldconfig || true; fi

.PHONY: uninstall-c
uninstall-c:
	rm -f '$(DESTDIR)$(PREFIX)'/lib/libmeshchat.so* '$(DESTDIR)$(PREFIX)/lib/libmeshchat.a' \
	    '$(DESTDIR)$(PREFIX)/include/meshchat.h' '$(DESTDIR)$(PREFIX)/lib/pkgconfig/meshchat.pc' \
	    '$(DESTDIR)$(PREFIX)/bin/meshchat-chat-c' '$(DESTDIR)$(PREFIX)/bin/meshchat-netcat-c'
