# Builds, tests and installs gptz. All work is done by cargo, cc and install.
#
#   make            the libraries and gptz.pc, under build/; FEATURES=--no-default-features leaves the models out
#   make demo       builds everything and runs the first C example on a real text
#   make check      all tests
#   make install    PREFIX=/usr/local DESTDIR= LIBDIR= INCLUDEDIR= MANDIR=, and make uninstall with the same
#   make header     include/gptz.h anew, after a change under src/ffi

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
CARGO ?= cargo
FEATURES ?=
INSTALL ?= install
OBJCOPY ?= objcopy
CFLAGS ?= -O2
WARNINGS = -std=c99 -Wall -Wextra -Wpedantic -Werror

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# The ABI's number: raised when a program that was linked before would break.
SOVERSION = 0
# What Rust's standard library needs of the system: rustc --print native-static-libs.
SYSTEM_LIBS = -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc

BUILD = build
ARCHIVE = target/release/libgptz.a
SHARED = libgptz.so.$(VERSION)
EXAMPLES = $(patsubst examples-c/%.c,%,$(wildcard examples-c/*.c))
CMAKEDIR = $(LIBDIR)/cmake/gptz
# What stands for @NAME@ in the files under packaging/.
FILL = sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|' \
    -e 's|@VERSION@|$(VERSION)|; s|@VERSION_MINOR@|$(basename $(VERSION))|; s|@SOVERSION@|$(SOVERSION)|' \
    -e 's|@SYSTEM_LIBS@|$(SYSTEM_LIBS)|; s|@CMAKE_TO_LIBDIR@|../..|' \
    -e "s|@CMAKE_TO_INCLUDEDIR@|$$(realpath -m --relative-to=$(CMAKEDIR) $(INCLUDEDIR))|"

all: $(BUILD)/$(SHARED) $(BUILD)/libgptz.a $(BUILD)/gptz.pc

# Always asked: cargo knows what is out of date, and leaves the archive alone where nothing is.
$(ARCHIVE): FORCE
	$(CARGO) build --release --locked $(FEATURES)
FORCE:

# The archive as cargo makes it has thousands of global symbols of Rust's own; this one has gptz_* alone. What only
# discarded sections referred to goes first: objcopy would make it an undefined global.
$(BUILD)/libgptz.a: $(ARCHIVE)
	@mkdir -p $(BUILD)
	$(LD) -r --gc-sections $$(sed -n 's/.*[ *]\(gptz_[a-z_0-9]*\)(.*/-u \1/p' include/gptz.h) -o $(BUILD)/gptz.o $(ARCHIVE)
	$(OBJCOPY) --strip-unneeded $(BUILD)/gptz.o
	$(OBJCOPY) --wildcard --keep-global-symbol='gptz_*' -R .llvmbc -R .llvmcmd $(BUILD)/gptz.o
	rm -f $@
	$(AR) rcs $@ $(BUILD)/gptz.o

# The same code as a shared library with a SONAME and versioned symbols. Not to be unloaded: its thread-local data and
# panic hook would stay behind.
$(BUILD)/$(SHARED): $(ARCHIVE) packaging/gptz.map
	@mkdir -p $(BUILD)
	$(CC) -shared -o $@ $(LDFLAGS) -Wl,--whole-archive $(ARCHIVE) -Wl,--no-whole-archive \
	    -Wl,--version-script=packaging/gptz.map -Wl,-soname,libgptz.so.$(SOVERSION) -Wl,--gc-sections -Wl,-z,nodelete \
	    -Wl,-z,relro,-z,now $(SYSTEM_LIBS)
	ln -sf $(SHARED) $(BUILD)/libgptz.so.$(SOVERSION)
	ln -sf libgptz.so.$(SOVERSION) $(BUILD)/libgptz.so

$(BUILD)/gptz.pc: packaging/gptz.pc.in Makefile Cargo.toml
	@mkdir -p $(BUILD)
	$(FILL) $< > $@

$(BUILD)/%: examples-c/%.c $(BUILD)/$(SHARED) include/gptz.h
	$(CC) $(WARNINGS) $(CFLAGS) -Iinclude -o $@ $< -L$(BUILD) -lgptz -Wl,-rpath,'$$ORIGIN' -lpthread -ldl

examples: $(EXAMPLES:%=$(BUILD)/%)

demo: all examples
	$(BUILD)/simple tests/data/alice29.txt $(BUILD)/alice29.gptz $(BUILD)/alice29.txt

check:
	$(CARGO) test --locked $(FEATURES)

header:
	GPTZ_RENEW_HEADER=1 $(CARGO) test --test header

install: all
	$(INSTALL) -d $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(LIBDIR)/pkgconfig $(DESTDIR)$(CMAKEDIR) $(DESTDIR)$(MANDIR)/man3
	$(INSTALL) -m 644 include/gptz.h include/gptz.hpp $(DESTDIR)$(INCLUDEDIR)
	$(INSTALL) -m 755 $(BUILD)/$(SHARED) $(DESTDIR)$(LIBDIR)/$(SHARED)
	ln -sf $(SHARED) $(DESTDIR)$(LIBDIR)/libgptz.so.$(SOVERSION)
	ln -sf libgptz.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libgptz.so
	$(INSTALL) -m 644 $(BUILD)/libgptz.a $(DESTDIR)$(LIBDIR)/libgptz.a
	$(FILL) packaging/gptz.pc.in > $(DESTDIR)$(LIBDIR)/pkgconfig/gptz.pc
	$(FILL) packaging/gptzConfig.cmake.in > $(DESTDIR)$(CMAKEDIR)/gptzConfig.cmake
	$(FILL) packaging/gptzConfigVersion.cmake.in > $(DESTDIR)$(CMAKEDIR)/gptzConfigVersion.cmake
	$(INSTALL) -m 644 packaging/gptz.3 $(DESTDIR)$(MANDIR)/man3/gptz.3

uninstall:
	rm -f $(DESTDIR)$(INCLUDEDIR)/gptz.h $(DESTDIR)$(INCLUDEDIR)/gptz.hpp $(DESTDIR)$(MANDIR)/man3/gptz.3
	rm -f $(DESTDIR)$(LIBDIR)/libgptz.a $(DESTDIR)$(LIBDIR)/libgptz.so $(DESTDIR)$(LIBDIR)/libgptz.so.$(SOVERSION)
	rm -f $(DESTDIR)$(LIBDIR)/$(SHARED) $(DESTDIR)$(LIBDIR)/pkgconfig/gptz.pc
	rm -f $(DESTDIR)$(CMAKEDIR)/gptzConfig.cmake $(DESTDIR)$(CMAKEDIR)/gptzConfigVersion.cmake
	-rmdir $(DESTDIR)$(CMAKEDIR)

clean:
	rm -rf $(BUILD)
	$(CARGO) clean

.PHONY: all FORCE examples demo check header install uninstall clean
