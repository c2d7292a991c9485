# Builds, tests and installs gptz. All work is done by cargo, cc and install.
#
#   make            the libraries and gptz.pc, under build/
#   make demo       builds everything and runs the first C example on a real text
#   make check      all tests
#   make install    PREFIX=/usr/local DESTDIR= LIBDIR= INCLUDEDIR=
#   make header     include/gptz.h anew, after a change under src/ffi

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
CARGO ?= cargo
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
EXAMPLES = simple predict

all: $(BUILD)/$(SHARED) $(BUILD)/libgptz.a $(BUILD)/gptz.pc

# Always asked: cargo knows what is out of date, and leaves the archive alone where nothing is.
$(ARCHIVE): FORCE
	$(CARGO) build --release --locked
FORCE:

# The archive as cargo makes it has thousands of global symbols of Rust's own; these have gptz_* alone.
$(BUILD)/libgptz.a: $(ARCHIVE)
	@mkdir -p $(BUILD)
	$(LD) -r --gc-sections $$(sed -n 's/.*[ *]\(gptz_[a-z_0-9]*\)(.*/-u \1/p' include/gptz.h) -o $(BUILD)/gptz.o $(ARCHIVE)
	$(OBJCOPY) --wildcard --keep-global-symbol='gptz_*' -R .llvmbc -R .llvmcmd $(BUILD)/gptz.o
	rm -f $@
	$(AR) rcs $@ $(BUILD)/gptz.o

# The same code as a shared library with a SONAME and versioned symbols. Not to be unloaded: its thread-local data and
# panic hook would stay behind.
$(BUILD)/$(SHARED): $(ARCHIVE) gptz.map
	@mkdir -p $(BUILD)
	$(CC) -shared -o $@ $(LDFLAGS) -Wl,--whole-archive $(ARCHIVE) -Wl,--no-whole-archive \
	    -Wl,--version-script=gptz.map -Wl,-soname,libgptz.so.$(SOVERSION) -Wl,--gc-sections -Wl,-z,nodelete \
	    -Wl,-z,relro,-z,now $(SYSTEM_LIBS)
	ln -sf $(SHARED) $(BUILD)/libgptz.so.$(SOVERSION)
	ln -sf libgptz.so.$(SOVERSION) $(BUILD)/libgptz.so

$(BUILD)/gptz.pc: gptz.pc.in Makefile Cargo.toml
	@mkdir -p $(BUILD)
	sed -e 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@INCLUDEDIR@|$(INCLUDEDIR)|' \
	    -e 's|@VERSION@|$(VERSION)|; s|@SYSTEM_LIBS@|$(SYSTEM_LIBS)|' gptz.pc.in > $@

$(BUILD)/%: examples-c/%.c $(BUILD)/$(SHARED) include/gptz.h
	$(CC) $(WARNINGS) $(CFLAGS) -Iinclude -o $@ $< -L$(BUILD) -lgptz -Wl,-rpath,'$$ORIGIN'

examples: $(EXAMPLES:%=$(BUILD)/%)

demo: all examples
	$(BUILD)/simple tests/data/alice29.txt $(BUILD)/alice29.gptz $(BUILD)/alice29.txt

check:
	$(CARGO) test --locked

header:
	GPTZ_RENEW_HEADER=1 $(CARGO) test --test header

# gptz.pc holds the folders, so it is made anew for these.
install: all
	rm -f $(BUILD)/gptz.pc
	$(MAKE) $(BUILD)/gptz.pc
	$(INSTALL) -d $(DESTDIR)$(INCLUDEDIR) $(DESTDIR)$(LIBDIR)/pkgconfig
	$(INSTALL) -m 644 include/gptz.h $(DESTDIR)$(INCLUDEDIR)/gptz.h
	$(INSTALL) -m 755 $(BUILD)/$(SHARED) $(DESTDIR)$(LIBDIR)/$(SHARED)
	ln -sf $(SHARED) $(DESTDIR)$(LIBDIR)/libgptz.so.$(SOVERSION)
	ln -sf libgptz.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/libgptz.so
	$(INSTALL) -m 644 $(BUILD)/libgptz.a $(DESTDIR)$(LIBDIR)/libgptz.a
	$(INSTALL) -m 644 $(BUILD)/gptz.pc $(DESTDIR)$(LIBDIR)/pkgconfig/gptz.pc

uninstall:
	rm -f $(DESTDIR)$(INCLUDEDIR)/gptz.h $(DESTDIR)$(LIBDIR)/libgptz.a $(DESTDIR)$(LIBDIR)/libgptz.so \
	    $(DESTDIR)$(LIBDIR)/libgptz.so.$(SOVERSION) $(DESTDIR)$(LIBDIR)/$(SHARED) $(DESTDIR)$(LIBDIR)/pkgconfig/gptz.pc

clean:
	rm -rf $(BUILD)
	$(CARGO) clean

.PHONY: all FORCE examples demo check header install uninstall clean
