# moescope: `make help` lists what can be made.
# Each VARIANT and compiler builds in a folder of its own under build/, so that they never mix; what changes
# with a flag is made anew. Programs of the release variant are in bin/, others beside their objects.

VARIANT ?= release
PREFIX ?= /usr/local
ifeq ($(filter release debug sanitize fuzz,$(VARIANT)),)
$(error VARIANT is release, debug, sanitize or fuzz, not '$(VARIANT)')
endif
ifeq ($(origin CC),default)
CC := gcc
endif
compiler := $(notdir $(firstword $(CC)))
out := build/$(VARIANT)$(if $(filter-out gcc,$(compiler)),-$(compiler))

packages := openblas sqlite3 gsl inih zlib libdeflate nettle libcjson
only_glyphs := freetype2
warnings := -Wall -Wextra -Wpedantic -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wpointer-arith \
            -Wwrite-strings -Wundef -Wvla -Wformat=2
flags_release := -O3
flags_debug := -O0 -g3
flags_sanitize := -O1 -g -fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined \
                  -DMOESCOPE_SANITIZED $(if $(filter clang,$(compiler)),-Wno-pass-failed)
# clang alone: it counts the edges that libFuzzer steers by.
flags_fuzz := -O1 -g -fsanitize=fuzzer-no-link,address,undefined,float-cast-overflow -fno-omit-frame-pointer \
              -fno-sanitize-recover=all -Wno-pass-failed
cflags := $(CFLAGS) -std=c11 -D_GNU_SOURCE -g $(warnings) $(flags_$(VARIANT)) -fopenmp-simd -ffp-contract=fast \
          -fno-math-errno -fno-trapping-math \
          -I. $(shell pkg-config --cflags $(packages) $(only_glyphs) 2>/dev/null) $(if $(WERROR),-Werror)
ldflags := $(LDFLAGS) $(if $(filter sanitize fuzz,$(VARIANT)),$(filter -fsanitize=%,$(flags_$(VARIANT))))
# `make V=1` shows whole commands.
say = @$(if $(V),,printf '  %-5s %s\n' $(1) $(2);)
quiet = $(if $(V),,@)
ldlibs := $(shell pkg-config --libs $(packages) 2>/dev/null) -lpthread -lm
embedded_ldlibs := $(shell pkg-config --libs sqlite3 libdeflate nettle 2>/dev/null) -lpthread -lm

# Programs are single files; everything else in a folder is its library.
programs := base/moescope.c engine/train.c engine/route.c engine/ablate.c $(wildcard corpora/*.c analysis/*.c care/*.c import/*.c)
program_name = moescope$(if $(filter base/%,$(1)),,-$(basename $(notdir $(1))))
binaries := $(foreach p,$(wildcard $(programs)),bin/$(call program_name,$(p)))
library := $(filter-out $(programs),$(wildcard base/*.c metrics/*.c sql/*.c engine/*.c analysis/shared/*.c corpora/shared/*.c import/shared/*.c))
library_objects := $(library:%.c=$(out)/%.o) $(out)/sql/embedded.o $(out)/plots/embedded.o
sql_files := $(shell find sql -name '*.sql' | LC_ALL=C sort)
plot_files := $(sort $(wildcard plots/*.gp plots/*.css))
# What SQLite loads, as moescope.so, or is linked with, as libmoescope-sqlite.a.
extension := sql/extension.c sql/vtab.c sql/cursor.c sql/count.c sql/count_block.c sql/count_gates.c sql/relation.c sql/groups.c sql/aggregate.c sql/crew.c sql/scan.c sql/db.c sql/codec.c \
             sql/text.c base/cores.c base/error.c metrics/load.c metrics/sample.c
# What other programs write logbooks with: libmoescope.so and .a, which export what sql/moescope.h declares.
embedded := sql/logbook.c sql/run.c sql/corpora.c sql/writer.c sql/batch.c sql/refuse.c sql/refuse_run.c sql/derived.c sql/store.c sql/windows.c sql/db.c \
            sql/codec.c sql/text.c sql/filesystem.c base/error.c base/text.c base/file.c base/decimal.c
version := $(shell sed -n 's/^\#define MOESCOPE_VERSION "\(.*\)"/\1/p' base/options.h)
soname := libmoescope.so.$(firstword $(subst ., ,$(version)))
# Tests of speed, of figures that numpy works out again, of error rates, of where files are installed, of what pages say
# and of a library that is not sanitized have nothing to say about memory that others have not.
spared := $(if $(filter sanitize,$(VARIANT)),$(patsubst %,$(out)/tests/%,command/test_bench command/test_calibration \
          command/test_docs command/test_recompute library/test_install library/test_python))
# Freed memory waits in 8 MB before it is used again, not in 256: a fifth of the time went into fresh pages.
test_options := $(if $(filter sanitize,$(VARIANT)),ASAN_OPTIONS=quarantine_size_mb=8)
tests := $(patsubst tests/%.c,$(out)/tests/%,$(wildcard tests/*/test_*.c))
benches := $(patsubst %.c,$(out)/%,$(wildcard bench/*.c))
bench_support := $(patsubst %.c,$(out)/%.o,$(wildcard bench/shared/*.c))
# An archive: a test links what it uses. Fuzzing calls programs: fuzzed/X.o is one with main_of_X for main.
fuzzed := analysis/collapse analysis/compare analysis/demand analysis/drift analysis/specialization analysis/sql \
          analysis/watch care/check care/export care/merge care/migrate care/prune care/runs care/snapshot
test_support := $(patsubst %.c,$(out)/%.o,$(wildcard tests/*.c) $(filter-out %/drive.c tests/fuzz/test_%, \
                $(wildcard tests/fuzz/*.c))) $(fuzzed:%=$(out)/fuzzed/%.o)

ifeq ($(VARIANT),release)
bindir := bin
linked := build/linked
else
bindir := $(out)/bin
linked := $(out)/flags
endif
# Every core, unless make was already told how many jobs.
jobs = $(if $(filter -j% --jobserver%,$(MAKEFLAGS)),,-j$(shell nproc))

# Debian's, which has PyTorch from Debian.
torch_python ?= /usr/bin/python3
gallery_figures := loss effective-experts load-top1-unbalanced lift-top2-balanced difference
study_names := dynamic-routing maskmoe soft-moe soft-norm single-gate single-gate-glyphs mixed images demand-choice demand
# Glyphs need fonts of 20 MB, and that study is single-gate's on other images; demand-choice has one configuration of demand.
quick_names := $(filter-out single-gate-glyphs demand-choice,$(study_names))
.PHONY: studies studies-quick gallery all programs demo test tests check-tests kills sanitize fuzz lint analyze bench bench-large bench-grid bench-torch bench-duckdb bench-instructions calibration docs clean help print-cflags print-programs FORCE
all: programs ## build every program and the SQLite extension into bin/
programs: $(foreach p,$(wildcard $(programs)),$(bindir)/$(call program_name,$(p))) \
          $(bindir)/moescope.so $(bindir)/libmoescope-sqlite.a $(bindir)/libmoescope.so $(bindir)/libmoescope.a

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-18s %s\n", $$1, $$2}' Makefile packaging/install.mk

demo: ## from nothing to a report: build, prepare text, train, analyse (build/demo)
	sh scripts/packages.sh build
	$(MAKE) --no-print-directory $(jobs) all
	sh scripts/demo.sh build/demo

test: ## build and run every test
	sh scripts/packages.sh test
	$(MAKE) --no-print-directory $(jobs) all check-tests

tests: $(tests) $(benches) ## build the test programs and benches, run none

check-tests: tests programs
	$(test_options) MOESCOPE_BIN=$(bindir) MOESCOPE_BENCH=$(out)/bench sh scripts/run-tests.sh $(filter-out $(spared),$(tests))

kills: programs $(out)/tests/fault/test_kill ## kill training 200 times at random moments: nothing is lost
	MOESCOPE_BIN=$(bindir) MOESCOPE_KILLS=200 $(out)/tests/fault/test_kill

sanitize: ## the tests again under AddressSanitizer and UndefinedBehaviorSanitizer
	sh scripts/packages.sh test
	$(MAKE) --no-print-directory $(jobs) VARIANT=sanitize programs check-tests

fuzz: ## attack every reader of foreign bytes, each for FUZZ_SECONDS (60); corpus and crashes in build/fuzz
	sh scripts/packages.sh fuzz
	$(MAKE) --no-print-directory $(jobs) VARIANT=fuzz CC=clang build/fuzz-clang/tests/fuzz/drive
	sh scripts/fuzz.sh build/fuzz-clang/tests/fuzz/drive build/fuzz $(FUZZ_TARGETS)

lint: ## clang-format, cppcheck, clang-tidy, shellcheck, the laws of the house
	sh scripts/packages.sh lint
	sh scripts/lint.sh
analyze: ## clang's static analyser over everything: minutes
	sh scripts/packages.sh lint
	sh scripts/lint.sh analyze

bench: $(benches) all ## speed of training, of subsets of experts, of the logbook, of imports: tables, and JSON in build/bench
	mkdir -p build/bench
	$(out)/bench/step --threads 1,0 --json build/bench/step.json
	for b in convolution routers soft overhead logbook; do $(out)/bench/$$b --json build/bench/$$b.json || exit; done
	$(out)/bench/import --bin $(bindir) --json build/bench/import.json

bench-grid: $(benches) ## steps of some forty shapes against the machine's limit: minutes
	mkdir -p build/bench
	$(out)/bench/grid --json build/bench/grid.json

bench-torch: $(benches) ## reference model R here and in PyTorch, in turns (Debian: python3-torch libopenblas0-openmp)
	mkdir -p build/bench
	$(torch_python) bench/rivals/beside_torch.py --step $(out)/bench/step --json build/bench/torch.json

bench-duckdb: $(benches) all ## 100 million decisions asked here and in DuckDB (npm install --prefix build/bench @duckdb/node-api)
	mkdir -p build/bench
	[ -e build/bench/duckdb.db ] || { $(out)/bench/large --make-only --decisions 100000000 --folder build/bench/duckdb && \
	    mv build/bench/duckdb/large.db build/bench/duckdb.db; }
	node bench/rivals/duckdb.mjs --logbook build/bench/duckdb.db --folder build/bench --bin $(bindir) --bench $(out)/bench \
	    --json build/bench/duckdb.json

bench-instructions: $(benches) all ## instructions per decision, by valgrind: of logging and of queries
	sh scripts/instructions.sh $(out)/bench $(bindir) build/bench

bench-large: $(benches) all ## readers of a logbook of 300 million decisions: a gigabyte in build/bench, kept
	mkdir -p build/bench
	$(out)/bench/large --bin $(bindir) --json build/bench/large.json

calibration: $(out)/bench/calibration ## error rates and power of the analyses' tests, on 1800 simulated logbooks: minutes
	mkdir -p build/bench
	$(out)/bench/calibration --json build/bench/calibration.json

studies: all ## train the papers' studies, hours on two cores, resumable: tables and figures in build/studies
	mkdir -p build/studies
	for s in $(study_names); do for part in core ablations; do \
	    $(bindir)/moescope study studies/$$s.ini --part $$part --figures build/studies/$$s-$$part \
	    -o build/studies/$$s-$$part.txt || exit; done; done

studies-quick: all ## the same in a few minutes, too small to say anything: does it all work?
	mkdir -p build/studies
	for s in $(quick_names); do $(bindir)/moescope study studies/$$s.ini --quick --figures build/studies/$$s-quick \
	    -o build/studies/$$s-quick.txt || exit; done

docs: all ## write what is generated under docs/ anew
	sh scripts/docs.sh

gallery: ## copy the demo's figures for the README, on white
	for f in $(gallery_figures); do \
	    sed '0,/fill="none"/s//fill="white"/' build/demo/report.figures/$$f.svg > docs/gallery/$$f.svg || exit; done

clean: ## remove everything that was built
	rm -rf build bin

print-cflags: # for tools that parse C
	@echo '$(cflags)'
print-programs: # the sources that become programs; every other one is in the library
	@echo $(wildcard $(programs))

# ---- rules ----

# What targets are made of besides files; rewritten only when it changes, and then all that was made of it is
# made anew. -Werror changes no object.
$(out)/flags: content = $(CC) $(filter-out -Werror,$(cflags)) $(ldflags) $(ldlibs)
$(out)/sources: content = $(library) $(sql_files) $(plot_files)
build/linked: content = $(out)
$(out)/flags $(out)/sources build/linked: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(content)' | cmp -s - $@ || printf '%s\n' '$(content)' > $@

# Without pkg-config no library is found, and the compiler's complaint would be about a header.
ifeq ($(shell pkg-config --exists $(packages) $(only_glyphs) 2>/dev/null && echo found),)
$(out)/flags: need-libraries
.PHONY: need-libraries
need-libraries:
	@echo "libraries are missing ($(packages) $(only_glyphs)); this installs them: sh scripts/packages.sh build" >&2; exit 1
endif

$(out)/%.o: %.c $(out)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(quiet)$(CC) $(cflags) -MMD -MP -c $< -o $@

# Every .sql file, as a string by its path.
$(out)/sql/embedded.c: sql/embed.sh $(sql_files) $(out)/sources
	@mkdir -p $(@D)
	$(call say,SQL,$@)
	$(quiet)sh sql/embed.sh $(sql_files) > $@.tmp && mv $@.tmp $@
# The report's scripts for gnuplot and its style sheet likewise.
$(out)/plots/embedded.c: plots/embed.sh $(plot_files) $(out)/sources
	@mkdir -p $(@D)
	$(call say,PLOT,$@)
	$(quiet)sh plots/embed.sh $(plot_files) > $@.tmp && mv $@.tmp $@
$(out)/sql/embedded.o $(out)/plots/embedded.o: %.o: %.c $(out)/flags
	$(quiet)$(CC) $(cflags) -Wno-overlength-strings -MMD -MP -c $< -o $@

$(out)/libmoescope.a: $(library_objects) $(out)/sources
	$(quiet)rm -f $@ && ar rcs $@ $(filter %.o,$^)

# Loaded into a program that offers SQLite, and is not itself sanitized.
loadable_cflags = $(filter-out -fsanitize% -fno-sanitize%,$(cflags)) -fPIC -fvisibility=hidden -DMOESCOPE_LOADABLE
$(out)/loadable/%.o: %.c $(out)/flags
	@mkdir -p $(@D)
	$(quiet)$(CC) $(loadable_cflags) -MMD -MP -c $< -o $@
$(out)/loadable/sql/embedded.o: $(out)/sql/embedded.c $(out)/flags
	@mkdir -p $(@D)
	$(quiet)$(CC) $(loadable_cflags) -Wno-overlength-strings -c $< -o $@
$(bindir)/moescope.so: $(extension:%.c=$(out)/loadable/%.o) $(out)/loadable/sql/embedded.o $(linked)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(quiet)$(CC) -shared $(LDFLAGS) $(filter %.o,$^) -ldeflate -lm -o $@
# One object, so that none but the entry point is seen from outside.
$(bindir)/libmoescope-sqlite.a: $(extension:%.c=$(out)/%.o) $(out)/sql/embedded.o $(linked)
	@mkdir -p $(@D)
	$(call say,AR,$@)
	$(quiet)$(LD) -r $(filter %.o,$^) -o $(out)/extension.o
	$(quiet)objcopy --keep-global-symbol=sqlite3_moescope_init $(out)/extension.o
	$(quiet)rm -f $@ && ar rcs $@ $(out)/extension.o

# Found by any program, sanitized or not, as the extension is.
embedded_cflags = $(filter-out -fsanitize% -fno-sanitize%,$(cflags)) -fPIC -fno-semantic-interposition -ffunction-sections \
                  -DMOESCOPE_LIBRARY
embedded_objects := $(embedded:%.c=$(out)/embedded/%.o) $(out)/embedded/sql/embedded.o
$(out)/embedded/%.o: %.c $(out)/flags
	@mkdir -p $(@D)
	$(quiet)$(CC) $(embedded_cflags) -MMD -MP -c $< -o $@
$(out)/embedded/sql/embedded.o: $(out)/sql/embedded.c $(out)/flags
	@mkdir -p $(@D)
	$(quiet)$(CC) $(embedded_cflags) -Wno-overlength-strings -c $< -o $@
$(bindir)/libmoescope.so: $(embedded_objects) $(linked)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(quiet)$(CC) -shared $(LDFLAGS) -Wl,-soname,$(soname) -Wl,--version-script=sql/exports.map -Wl,--no-undefined \
	    -Wl,--gc-sections $(filter %.o,$^) \
	    $(embedded_ldlibs) -o $(@D)/$(soname)
	$(quiet)ln -sf $(soname) $@
$(bindir)/libmoescope.so: sql/exports.map
$(bindir)/libmoescope.a: $(embedded_objects) $(linked)
	@mkdir -p $(@D)
	$(call say,AR,$@)
	$(quiet)$(LD) -r $(filter %.o,$^) -o $(out)/embedded.o
	$(quiet)objcopy --wildcard --keep-global-symbol='moescope_*' $(out)/embedded.o
	$(quiet)rm -f $@ && ar rcs $@ $(out)/embedded.o

$(out)/bench/%: $(out)/bench/%.o $(bench_support) $(out)/libmoescope.a
	$(call say,LINK,$@)
	$(quiet)$(CC) $(ldflags) $^ $(ldlibs) -o $@

define program_rule
$(bindir)/$(call program_name,$(1)): $(out)/$(1:.c=.o) $(out)/libmoescope.a $(linked)
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$$(quiet)$$(CC) $$(ldflags) $$(filter %.o %.a,$$^) $$(ldlibs) -o $$@
endef
$(foreach p,$(wildcard $(programs)),$(eval $(call program_rule,$(p))))

$(bindir)/moescope-glyphs $(out)/tests/command/test_glyphs: private ldlibs += $(shell pkg-config --libs $(only_glyphs) 2>/dev/null)

$(out)/libtests.a: $(test_support)
	$(quiet)rm -f $@ && ar rcs $@ $^

$(out)/fuzzed/%.o: %.c $(out)/flags
	@mkdir -p $(@D)
	$(call say,CC,$@)
	$(quiet)$(CC) $(cflags) -Dmain=main_of_$(notdir $*) -Wno-missing-prototypes -MMD -MP -c $< -o $@

$(out)/tests/fuzz/drive: $(out)/tests/fuzz/drive.o $(out)/libtests.a $(out)/libmoescope.a
	$(call say,LINK,$@)
	$(quiet)$(CC) $(ldflags) -fsanitize=fuzzer $^ $(ldlibs) -lcmocka -o $@

# Where memory is scarce (tests/scarce.h), every allocation of ours goes by way of the test.
wrapped := malloc calloc realloc strdup
$(out)/tests/fault/test_memory: private test_ldflags := $(wrapped:%=-Wl,--wrap=%)

$(out)/tests/%: $(out)/tests/%.o $(out)/libtests.a $(out)/libmoescope.a
	$(call say,LINK,$@)
	$(quiet)$(CC) $(ldflags) $(test_ldflags) $^ $(ldlibs) -lcmocka -o $@

include packaging/install.mk

.PRECIOUS: $(out)/%.o
-include $(shell find $(out) -name '*.d' 2>/dev/null)
