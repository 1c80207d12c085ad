# moescope: `make help` lists what can be made.
# VARIANT=debug|sanitize builds beside the default under build/, so that variants never mix.

VARIANT ?= release
PREFIX ?= /usr/local
out := build/$(VARIANT)

CC ?= gcc
packages := openblas sqlite3 gsl inih zlib libmd libcjson
warnings := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wwrite-strings -Wundef -Wvla -Wformat=2 -Wno-unknown-warning-option
flags_release := -O3
flags_debug := -O0 -g3
flags_sanitize := -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined
CFLAGS += -std=c11 -D_GNU_SOURCE -g $(warnings) $(flags_$(VARIANT)) -fopenmp-simd -ffp-contract=fast \
          -fno-math-errno -fno-trapping-math \
          -I. $(shell pkg-config --cflags $(packages) 2>/dev/null) $(if $(WERROR),-Werror)
LDFLAGS += $(if $(filter sanitize,$(VARIANT)),$(filter -fsanitize=%,$(flags_sanitize)))
LDLIBS := $(shell pkg-config --libs $(packages) 2>/dev/null) -lpthread -lm

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

.PHONY: all programs clean help
all: programs ## build every program into bin/
programs: $(foreach p,$(wildcard $(programs)),$(bindir)/$(call program_name,$(p)))

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

clean: ## remove everything that was built
	rm -rf build bin

# ---- rules ----

$(out)/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -MMD -MP -c $< -o $@

# Every .sql file, as a string by its path.
sql_files := $(shell find sql -name '*.sql' | LC_ALL=C sort)
$(out)/sql/embedded.c: sql/embed.sh $(sql_files)
	@mkdir -p $(@D)
	sh sql/embed.sh $(sql_files) > $@.tmp && mv $@.tmp $@
$(out)/sql/embedded.o: $(out)/sql/embedded.c
	$(CC) $(CFLAGS) -Wno-overlength-strings -MMD -MP -c $< -o $@

$(out)/libmoescope.a: $(library_objects)
	rm -f $@ && ar rcs $@ $^

define program_rule
$(bindir)/$(call program_name,$(1)): $(out)/$(1:.c=.o) $(out)/libmoescope.a
	@mkdir -p $$(@D)
	$$(CC) $$(LDFLAGS) $$^ $$(LDLIBS) -o $$@
endef
$(foreach p,$(wildcard $(programs)),$(eval $(call program_rule,$(p))))

$(out)/libtests.a: $(test_support)
	rm -f $@ && ar rcs $@ $^

$(out)/tests/%: $(out)/tests/%.o $(out)/libtests.a $(out)/libmoescope.a
	$(CC) $(LDFLAGS) $^ $(LDLIBS) -lcmocka -o $@

.PRECIOUS: $(out)/%.o
-include $(shell find $(out) -name '*.d' 2>/dev/null)
