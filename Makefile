# moescope: `make help` lists what can be made.
# VARIANT=debug|sanitize builds beside the default under build/, so that variants never mix.

VARIANT ?= release
PREFIX ?= /usr/local
out := build/$(VARIANT)

ifeq ($(origin CC),default)
CC := gcc
endif
packages := openblas sqlite3 gsl inih zlib libmd libcjson
warnings := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wwrite-strings -Wundef -Wvla -Wformat=2
flags_release := -O3
flags_debug := -O0 -g3
flags_sanitize := -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
cflags := $(CFLAGS) -std=c11 -D_GNU_SOURCE -g $(warnings) $(flags_$(VARIANT)) -fopenmp-simd -ffp-contract=fast \
          -fno-math-errno -fno-trapping-math \
          -I. $(shell pkg-config --cflags $(packages) 2>/dev/null) $(if $(WERROR),-Werror)
ldflags := $(LDFLAGS) $(if $(filter sanitize,$(VARIANT)),$(filter -fsanitize=%,$(flags_sanitize)))
# `make V=1` shows whole commands.
say = @$(if $(V),,printf '  %-5s %s\n' $(1) $(2);)
quiet = $(if $(V),,@)
ldlibs := $(shell pkg-config --libs $(packages) 2>/dev/null) -lpthread -lm

# Programs are single files; everything else in a folder is its library.
programs := base/moescope.c engine/train.c engine/route.c corpora/corpus.c $(wildcard analysis/*.c)
program_name = moescope$(if $(filter base/%,$(1)),,-$(basename $(notdir $(1))))
binaries := $(foreach p,$(wildcard $(programs)),bin/$(call program_name,$(p)))
library := $(filter-out $(programs),$(wildcard base/*.c metrics/*.c sql/*.c engine/*.c analysis/shared/*.c))
library_objects := $(library:%.c=$(out)/%.o) $(out)/sql/embedded.o
tests := $(patsubst tests/%.c,$(out)/tests/%,$(wildcard tests/*/test_*.c))
test_support := $(patsubst %.c,$(out)/%.o,$(wildcard tests/*.c)) # an archive: a test links what it uses

ifeq ($(VARIANT),release)
bindir := bin
else
bindir := $(out)/bin
endif

.PHONY: all programs demo test check-tests sanitize lint bench docs clean help
all: programs ## build every program into bin/
programs: $(foreach p,$(wildcard $(programs)),$(bindir)/$(call program_name,$(p)))

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: ## from nothing to a report: build, prepare text, train, analyse (build/demo)
	sh scripts/packages.sh build
	$(MAKE) --no-print-directory -j2 all
	sh scripts/demo.sh build/demo

test: ## build and run every test
	sh scripts/packages.sh test
	$(MAKE) --no-print-directory -j2 all check-tests

check-tests: $(tests) programs
	MOESCOPE_BIN=$(bindir) sh scripts/run-tests.sh $(tests)

sanitize: ## the tests again under AddressSanitizer and UndefinedBehaviorSanitizer
	sh scripts/packages.sh test
	$(MAKE) --no-print-directory -j2 VARIANT=sanitize programs check-tests

lint: ## format, tidy, cppcheck, the layering laws
	sh scripts/packages.sh lint
	sh scripts/lint.sh

bench: $(out)/bench/step ## where a training step's time goes, against the sgemm limit
	$(out)/bench/step

docs: all ## write what is generated under docs/ anew
	sh scripts/docs.sh

clean: ## remove everything that was built
	rm -rf build bin

# ---- rules ----

$(out)/%.o: %.c
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(quiet)$(CC) $(cflags) -MMD -MP -c $< -o $@

# Every .sql file, as a string by its path.
sql_files := $(shell find sql -name '*.sql' | LC_ALL=C sort)
$(out)/sql/embedded.c: sql/embed.sh $(sql_files)
	@mkdir -p $(@D)
	sh sql/embed.sh $(sql_files) > $@.tmp && mv $@.tmp $@
$(out)/sql/embedded.o: $(out)/sql/embedded.c
	$(quiet)$(CC) $(cflags) -Wno-overlength-strings -MMD -MP -c $< -o $@

$(out)/libmoescope.a: $(library_objects)
	$(quiet)rm -f $@ && ar rcs $@ $^

$(out)/bench/%: $(out)/bench/%.o $(out)/libmoescope.a
	$(call say,LINK,$@)
	$(quiet)$(CC) $(ldflags) $^ $(ldlibs) -o $@

define program_rule
$(bindir)/$(call program_name,$(1)): $(out)/$(1:.c=.o) $(out)/libmoescope.a
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$$(quiet)$$(CC) $$(ldflags) $$^ $$(ldlibs) -o $$@
endef
$(foreach p,$(wildcard $(programs)),$(eval $(call program_rule,$(p))))

$(out)/libtests.a: $(test_support)
	$(quiet)rm -f $@ && ar rcs $@ $^

$(out)/tests/%: $(out)/tests/%.o $(out)/libtests.a $(out)/libmoescope.a
	$(call say,LINK,$@)
	$(quiet)$(CC) $(ldflags) $^ $(ldlibs) -lcmocka -o $@

.PRECIOUS: $(out)/%.o
-include $(shell find $(out) -name '*.d' 2>/dev/null)
