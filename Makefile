# CORPUS=PATH sets the corpus of the targets that use one.
CORPUS ?= data/sample
SECONDS ?= 60
SEED ?= 1
# The number of a round of torture that failed. Torture then repeats this round only.
ROUND ?= 0
PREFIX ?= $(HOME)/.local
BOWLINE = target/release/bowline
PYTHON ?= python3
# The environment of all that needs Python packages. Each target installs those that it needs.
VENV = target/venv-python
# Seconds that `make fuzz` gives each target.
FUZZ_SECONDS ?= 60
FUZZ_TARGETS ?= analyze token_pattern vocabulary manifest matrix segment records parquet archive encoding

.PHONY: demo build build-all test test-rust test-release torture full-disks lint fuzz fuzz-stable bench bench-peers bench-stages parity same-bytes wheel test-python test-engines test-sklearn test-sklearn-versions install clean

demo: build
	$(BOWLINE) embed --force --output target/demo data/sample
	@echo && head -n 3 target/demo/documents.jsonl && echo ... && head -n 5 target/demo/vocabulary.jsonl && echo ... && tail -n 8 target/demo/manifest.json && echo "The matrix: scipy.sparse.load_npz('target/demo/matrix.npz')"

build:
	cargo build --release --locked

# Includes the program of the benchmarks.
build-all:
	cargo build --release --locked --workspace

# The program with the feature `faults`, and the examples. Cargo chooses the features of dependencies for them as for the tests.
BUILD_DEV = cargo build --workspace --locked --features faults --bin bowline --examples

# All tests that this machine can run.
test: test-rust
	@if $(HAS_PYTHON); then $(MAKE) --no-print-directory test-python; else echo "The tests of the Python package were left out: $(NEEDS_PYTHON)"; fi

# The second line runs the library's examples without the command line, the third one the engine without worker processes.
test-rust:
	cargo test --workspace --locked --no-fail-fast --features faults
	cargo test --package bowline --locked --no-default-features --doc
	cargo test --package bowline-workers --locked --no-default-features --lib

# The same tests, as test-rust has compiled them, on the release build. It has no documents that crash on purpose, so that the
# tests of these are left out.
test-release: build
	BOWLINE_UNDER_TEST=$(abspath $(BOWLINE)) cargo test --workspace --locked --features faults --test cli -- --skip crashes:: --skip supervision::faults::

torture:
	TORTURE_SECONDS=$(SECONDS) TORTURE_SEED=$(SEED) TORTURE_ROUND=$(ROUND) cargo test --locked --features faults --test cli torture -- --ignored --nocapture

# Every size of disk from almost nothing to enough, on loop devices. Needs root.
full-disks:
	cargo test --locked --features faults --test cli full_disks -- --ignored --nocapture

# All builds: the release build, the build of the tests (the feature `faults` adds documents that crash on purpose), the
# library without the command line, and the engine without worker processes.
lint:
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --locked -- -D warnings
	cargo clippy --workspace --all-targets --locked --features faults -- -D warnings
	cargo clippy --package bowline --lib --no-default-features --locked -- -D warnings
	cargo clippy --package bowline-workers --lib --no-default-features --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --locked --document-private-items

# Runs the fuzz targets one after the other. Copy an input that fails to fuzz/seeds/TARGET. libFuzzer needs unstable options
# of the compiler. Without nightly Rust, RUSTC_BOOTSTRAP makes the stable compiler accept them, for the fuzz targets only.
fuzz:
	@cargo fuzz --version >/dev/null 2>&1 || { echo "this needs cargo-fuzz: cargo install cargo-fuzz"; exit 1; }
	@if cargo +nightly --version >/dev/null 2>&1; then fuzz="cargo +nightly fuzz"; else fuzz="env RUSTC_BOOTSTRAP=1 cargo fuzz"; fi; \
	for target in $(FUZZ_TARGETS); do \
		mkdir -p fuzz/corpus/$$target && \
		TMPDIR=$$(test -w /dev/shm && echo /dev/shm || echo /tmp) $$fuzz run $$target fuzz/corpus/$$target fuzz/seeds/$$target -- \
			-max_total_time=$(FUZZ_SECONDS) -timeout=20 -rss_limit_mb=2048 -verbosity=0 -print_final_stats=1 || exit 1; \
	done

# Runs mutated seeds with the stable compiler. The inputs that failed are in target/tmp/fuzz.
fuzz-stable:
	FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_TARGETS="$(FUZZ_TARGETS)" FUZZ_SEED=$(SEED) cargo test --locked --test seeds -- --ignored --nocapture

# All suites, to target/bench/report.html and .json. Without CORPUS it generates a corpus.
BENCH_CORPUS = $(if $(filter file,$(origin CORPUS)),target/bench/corpus,$(CORPUS))
bench: build-all $(filter target/bench/corpus,$(BENCH_CORPUS))
	@mkdir -p target/bench
	$(BOWLINE) bench --suite all --json target/bench/report.json --html target/bench/report.html $(BENCH_CORPUS)

target/bench/corpus: | build-all
	rm -rf $@.part && $(BOWLINE) generate --documents 20000 --seed 1 $@.part && mv $@.part $@

bench-peers: build $(VENV)/.complete-parity
	python3 tests/peers/peers.py --bowline $(BOWLINE) --python $(VENV)/bin/python $(CORPUS)

bench-stages:
	CORPUS=$(abspath $(CORPUS)) cargo bench --locked -p bowline-workers --bench stages -- $(BENCH)

parity: build $(VENV)/.complete-parity
	$(VENV)/bin/python tests/parity/parity.py --bowline $(BOWLINE) $(CORPUS)
	$(VENV)/bin/python tests/parity/formats.py --bowline $(BOWLINE) $(CORPUS)
	$(BUILD_DEV)
	$(VENV)/bin/python tests/parity/characters.py target/debug/examples/characters

same-bytes: build
	tests/same-bytes $(CORPUS)
	for format in mtx svmlight parquet arrow; do tests/same-bytes $(CORPUS) --format $$format --norm l2 || exit 1; done

# The Python package.
NEEDS_PYTHON = they need Python 3.11 or later with its venv module (PYTHON=... names another one)
HAS_PYTHON = $(PYTHON) -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
MATURIN = $(VENV)/bin/maturin build --locked --strip --manifest-path python/Cargo.toml
PROGRAM_OF_WHEEL = python/bowline.data/scripts/bowline

# A wheel for CPython 3.11 and later on each Linux with glibc 2.17 or later, in target/wheels. The program in it is linked as the
# native module is, by zig's linker.
GLIBC = 2.17
TARGET = $(shell uname -m)-unknown-linux-gnu
wheel: $(VENV)/.complete-wheel
	rm -rf target/wheels && mkdir -p target/wheels
	PATH="$(abspath $(VENV))/bin:$$PATH" cargo-zigbuild zigbuild --release --locked --package bowline --bin bowline --target $(TARGET).$(GLIBC)
	install -D target/$(TARGET)/release/bowline $(PROGRAM_OF_WHEEL) && strip $(PROGRAM_OF_WHEEL)
	PATH="$(abspath $(VENV))/bin:$$PATH" $(MATURIN) --release --zig --target $(TARGET) --compatibility manylinux2014 --out target/wheels
	$(VENV)/bin/auditwheel show target/wheels/*.whl
	$(VENV)/bin/python python/tests/check_glibc.py $(GLIBC) target/wheels/*.whl

# The tests of the package, from a wheel with the dev profile, which `make test` has compiled already for the most part. Then the
# examples of README.md in an environment with nothing but the wheel and what it depends on.
test-python: $(VENV)/.complete-test
	$(BUILD_DEV)
	mkdir -p $(dir $(PROGRAM_OF_WHEEL)) && strip -o $(PROGRAM_OF_WHEEL) target/debug/bowline
	rm -rf target/wheels-dev && $(MATURIN) --profile dev --compatibility linux --out target/wheels-dev
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps target/wheels-dev/*.whl
	cd python && ../$(VENV)/bin/mypy
	cd python && ../$(VENV)/bin/pytest
	rm -rf target/venv-fresh && $(PYTHON) -m venv target/venv-fresh
	target/venv-fresh/bin/pip install --quiet --disable-pip-version-check target/wheels-dev/*.whl
	target/venv-fresh/bin/python python/tests/run_examples.py README.md

# Tests of `bowline.ray` and `bowline.spark`, with the wheel of `test-python`. Without Java 17, those of Spark are skipped.
test-engines: $(VENV)/.complete-engines
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps target/wheels-dev/*.whl
	cd python && timeout --kill-after 10 1200 ../$(VENV)/bin/pytest --timeout 300 tests/engines

# scikit-learn's own tests, with the classes of the package in place of its own; `test-sklearn-versions` for each version that is
# supported, in an environment of its own. Both need the wheel of `test-python`.
SKLEARN_VERSIONS = 1.7.2 1.8.0 1.9.1
SKLEARN_TEXT = sklearn.feature_extraction.tests.test_text
SKLEARN_USERS = sklearn.tests.test_pipeline sklearn.compose.tests.test_column_transformer sklearn.model_selection.tests.test_search
SKLEARN_PYTEST = -m pytest -q -p sklearn_suite -p no:cacheprovider --rootdir target -c /dev/null --pyargs
test-sklearn:
	PYTHONPATH=python/tests $(VENV)/bin/python $(SKLEARN_PYTEST) $(SKLEARN_TEXT) $(SKLEARN_USERS)
test-sklearn-versions:
	for version in $(SKLEARN_VERSIONS); do \
	  environment=target/venv-sklearn-$$version && $(PYTHON) -m venv $$environment && \
	  $$environment/bin/pip install --quiet --disable-pip-version-check pytest pandas pyarrow "scikit-learn==$$version" && \
	  $$environment/bin/pip install --quiet --disable-pip-version-check --force-reinstall --no-deps target/wheels-dev/*.whl && \
	  PYTHONPATH=python/tests $$environment/bin/python $(SKLEARN_PYTEST) $(SKLEARN_TEXT) || exit 1; done

$(VENV)/.complete-%: python/requirements-%.txt python/requirements-test.txt
	@$(HAS_PYTHON) || { echo "Not possible here: $(NEEDS_PYTHON)"; exit 1; }
	$(PYTHON) -m venv $(VENV) && $(VENV)/bin/pip install --quiet --disable-pip-version-check -r $< && touch $@

# The programs, their manual pages, and completions of bash, zsh and fish.
SHARE = $(DESTDIR)$(PREFIX)/share
install: build-all
	install -D $(BOWLINE) $(DESTDIR)$(PREFIX)/bin/bowline
	install -D $(BOWLINE)-bench $(DESTDIR)$(PREFIX)/bin/bowline-bench
	mkdir -p $(SHARE)/man/man1 && $(BOWLINE) man $(SHARE)/man/man1 && $(BOWLINE)-bench man $(SHARE)/man/man1
	mkdir -p $(SHARE)/bash-completion/completions && $(BOWLINE) completions bash >$(SHARE)/bash-completion/completions/bowline
	mkdir -p $(SHARE)/zsh/site-functions && $(BOWLINE) completions zsh >$(SHARE)/zsh/site-functions/_bowline
	mkdir -p $(SHARE)/fish/vendor_completions.d && $(BOWLINE) completions fish >$(SHARE)/fish/vendor_completions.d/bowline.fish

clean:
	cargo clean
