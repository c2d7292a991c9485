# Builds, tests and installs gptz. All work is done by cargo, cc, binutils and install.
#
#   make            the libraries, under build/; FEATURES=--no-default-features leaves the models out
#   make demo       builds everything and runs the first C example on a real text
#   make check      all tests
#   make install    copies what make has built; PREFIX=/usr/local DESTDIR= LIBDIR= INCLUDEDIR= MANDIR=, and make uninstall
#                   with the same
#   make header     include/gptz.h anew, after a change under src/ffi
#
# These variables are taken from the environment: CC, CFLAGS, LDFLAGS, LD, AR, NM, OBJCOPY, INSTALL, DESTDIR, and what cargo
# reads. All others must be arguments of make.

# To GNU make this is a rule without a recipe. BSD make stops here and prints the line.
.error gptz is built by GNU make, often called : gmake
.DEFAULT_GOAL := all

PREFIX = /usr/local
LIBDIR = $(PREFIX)/lib
INCLUDEDIR = $(PREFIX)/include
MANDIR = $(PREFIX)/share/man
FEATURES =
CARGO ?= cargo
INSTALL ?= install
OBJCOPY ?= objcopy
NM ?= nm
CFLAGS ?= -O2
WARNINGS = -std=c99 -Wall -Wextra -Wpedantic -Werror

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# The project's address, once it has one.
HOMEPAGE := $(shell sed -n 's/^homepage = "\(.*\)"/\1/p' Cargo.toml)
# The ABI's number: raised when a program that was linked before would break.
SOVERSION = 0
# The system libraries that Rust's standard library needs. Without the unwinder, which rustc lists too: the C compiler adds the
# one that fits the kind of link (libgcc_s.so, libgcc_eh.a, libunwind).
SYSTEM_LIBS = -lutil -lrt -lpthread -lm -ldl
# The functions that the header declares, as a shell command. A test build exports TEST_CALLS too.
CALLS = $$(sed -n 's/^[a-z].*[ *]\(gptz_[a-z_0-9]*\)(.*/\1/p' include/gptz.h)
TEST_CALLS =

BUILD = build
ARCHIVE = $(BUILD)/rust/libgptz.a
SHARED = libgptz.so.$(VERSION)
EXAMPLES = $(patsubst examples-c/%.c,%,$(wildcard examples-c/*.c))
CMAKEDIR = $(LIBDIR)/cmake/gptz
# Installation folders, quoted for the shell.
TO_INCLUDE = "$(DESTDIR)$(INCLUDEDIR)"
TO_LIB = "$(DESTDIR)$(LIBDIR)"
TO_CMAKE = "$(DESTDIR)$(CMAKEDIR)"
TO_MAN = "$(DESTDIR)$(MANDIR)"
# Replaces @NAME@ in the files under packaging/. Folders below the prefix are written relative to it, so that an installed tree
# can be moved. CMake's files find them relative to their own place.
FILL = sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|' \
    -e 's|^\([a-z]*dir\)=$(PREFIX)/|\1=$${prefix}/|' \
    -e 's|@VERSION@|$(VERSION)|; s|@VERSION_MINOR@|$(basename $(VERSION))|; s|@SOVERSION@|$(SOVERSION)|' \
    -e 's|@HOMEPAGE@|$(HOMEPAGE)|; /^URL: $$/d' \
    -e 's|@SYSTEM_LIBS@|$(SYSTEM_LIBS)|; s|@SYSTEM_LIBS_LIST@|$(subst $() -l,;-l,$(SYSTEM_LIBS))|; s|@CMAKE_TO_LIBDIR@|../..|' \
    -e "s|@CMAKE_TO_INCLUDEDIR@|$$(realpath -m --relative-to="$(CMAKEDIR)" "$(INCLUDEDIR)")|"
# Installs one filled file, readable whatever the umask.
define install_filled
	$(FILL) $(1) > $(2)
	chmod 644 $(2)
endef

all: $(BUILD)/$(SHARED) $(BUILD)/libgptz.a

# Cargo is always run, because it knows what is out of date. It leaves an up-to-date archive alone.
$(ARCHIVE): FORCE
	@mkdir -p $(BUILD)/rust
	CARGO='$(CARGO)' packaging/rust-archive $@ $(FEATURES)
FORCE:

# Cargo's archive has thousands of global symbols of Rust's own. In this one only the functions of the C API are global.
$(BUILD)/libgptz.a: $(ARCHIVE) packaging/relocatable include/gptz.h
	CC='$(CC)' LD='$(LD)' OBJCOPY='$(OBJCOPY)' NM='$(NM)' packaging/relocatable $(BUILD)/gptz.o $(ARCHIVE) $(CALLS) $(TEST_CALLS)
	rm -f $@
	$(AR) rcs $@ $(BUILD)/gptz.o

# The same code as a shared library with a SONAME and versioned symbols. It must not be unloaded, because its thread-local data
# and panic hook would remain.
$(BUILD)/$(SHARED): $(ARCHIVE) packaging/gptz.map
	$(CC) -shared -o $@ $(LDFLAGS) -Wl,--whole-archive $(ARCHIVE) -Wl,--no-whole-archive \
	    -Wl,--version-script=packaging/gptz.map -Wl,-soname,libgptz.so.$(SOVERSION) -Wl,--gc-sections -Wl,-z,nodelete \
	    -Wl,-z,relro,-z,now $(SYSTEM_LIBS)
	ln -sf $(SHARED) $(BUILD)/libgptz.so.$(SOVERSION)
	ln -sf libgptz.so.$(SOVERSION) $(BUILD)/libgptz.so

$(BUILD)/%: examples-c/%.c $(BUILD)/$(SHARED) include/gptz.h
	$(CC) $(WARNINGS) $(CFLAGS) -Iinclude -o $@ $< -L$(BUILD) -lgptz -Wl,-rpath,'$$ORIGIN' -lpthread -ldl

examples: $(EXAMPLES:%=$(BUILD)/%)

demo: all examples
	$(BUILD)/simple tests/data/alice29.txt $(BUILD)/alice29.gptz $(BUILD)/alice29.txt

check:
	$(CARGO) test --locked $(FEATURES)

header:
	GPTZ_RENEW_HEADER=1 $(CARGO) test --locked --test header the_committed_header

# Copies what make has built, so that root need not run cargo. Builds first only where nothing was built yet.
install:
	@[ -f $(BUILD)/$(SHARED) ] && [ -f $(BUILD)/libgptz.a ] || { command -v $(CARGO) > /dev/null && $(MAKE) all; } \
	    || { echo "make: $(BUILD)/$(SHARED) does not exist: run make first, then make install" >&2; exit 1; }
	$(INSTALL) -d -m 755 $(TO_INCLUDE) $(TO_LIB)/pkgconfig $(TO_CMAKE) $(TO_MAN)/man3
	$(INSTALL) -m 644 include/gptz.h include/gptz.hpp $(TO_INCLUDE)
	$(INSTALL) -m 755 $(BUILD)/$(SHARED) $(TO_LIB)/$(SHARED)
	ln -sf $(SHARED) $(TO_LIB)/libgptz.so.$(SOVERSION)
	ln -sf libgptz.so.$(SOVERSION) $(TO_LIB)/libgptz.so
	$(INSTALL) -m 644 $(BUILD)/libgptz.a $(TO_LIB)/libgptz.a
	$(call install_filled,packaging/gptz.pc.in,$(TO_LIB)/pkgconfig/gptz.pc)
	$(call install_filled,packaging/gptzConfig.cmake.in,$(TO_CMAKE)/gptzConfig.cmake)
	$(call install_filled,packaging/gptzConfigVersion.cmake.in,$(TO_CMAKE)/gptzConfigVersion.cmake)
	$(INSTALL) -m 644 packaging/gptz.3 $(TO_MAN)/man3/gptz.3

uninstall:
	rm -f $(TO_INCLUDE)/gptz.h $(TO_INCLUDE)/gptz.hpp $(TO_MAN)/man3/gptz.3
	rm -f $(TO_LIB)/libgptz.a $(TO_LIB)/libgptz.so $(TO_LIB)/libgptz.so.$(SOVERSION)
	rm -f $(TO_LIB)/$(SHARED) $(TO_LIB)/pkgconfig/gptz.pc
	rm -f $(TO_CMAKE)/gptzConfig.cmake $(TO_CMAKE)/gptzConfigVersion.cmake
	-rmdir $(TO_CMAKE)

clean:
	rm -rf $(BUILD)
	$(CARGO) clean

.PHONY: all FORCE examples demo check header install uninstall clean
