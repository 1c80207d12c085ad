# Installing what was built, and a Debian package of it.

DESTDIR ?=
LIBDIR ?= $(PREFIX)/lib
MANDIR ?= $(PREFIX)/share/man
BASHDIR ?= $(PREFIX)/share/bash-completion/completions
ZSHDIR ?= $(PREFIX)/share/zsh/site-functions
PYTHONDIR ?= $(PREFIX)/share/moescope/python
DOCDIR ?= $(PREFIX)/share/doc/moescope
pages := $(out)/pages
folders = DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' LIBDIR='$(LIBDIR)' MANDIR='$(MANDIR)' BASHDIR='$(BASHDIR)' \
          ZSHDIR='$(ZSHDIR)' PYTHONDIR='$(PYTHONDIR)' DOCDIR='$(DOCDIR)' BUILT='$(bindir)' PAGES='$(pages)' VERSION='$(version)'
.PHONY: pages install uninstall deb deb-check

pages: programs # manual pages and completions, from the programs' own tables
	@MOESCOPE_BIN=$(bindir) sh packaging/pages.sh '$(version)' '$(pages)'

install: pages ## install under PREFIX (/usr/local), behind DESTDIR: programs, library, manual, completions
	@$(folders) sh packaging/install.sh install

uninstall: pages ## remove what install installed
	@$(folders) sh packaging/install.sh uninstall

deb: ## a Debian package of it all, in build/
	sh scripts/packages.sh deb
	$(MAKE) --no-print-directory $(jobs) all
	+sh packaging/deb.sh '$(version)' build

FRESH ?= build/fresh
deb-check: deb ## install that package in a pristine Debian and use it (as root; debootstrap)
	sh packaging/check.sh 'build/moescope_$(version)_$(shell dpkg --print-architecture).deb' '$(FRESH)'
