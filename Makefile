# Every target is one or two plain lines. CORPUS= names a corpus of yours where a target takes one.
CORPUS ?= data/sample
SECONDS ?= 60
SEED ?= 1
PREFIX ?= $(HOME)/.local
BOWLINE = target/release/bowline
VENV = target/venv

.PHONY: demo build test torture lint bench bench-peers bench-stages parity same-bytes install clean

demo: build
	$(BOWLINE) embed --force --output target/demo data/sample
	@echo && head -n 3 target/demo/documents.jsonl && echo ... && head -n 5 target/demo/vocabulary.jsonl && echo ... && tail -n 8 target/demo/manifest.json && echo "The matrix: scipy.sparse.load_npz('target/demo/matrix.npz')"

build:
	cargo build --release --locked

test:
	cargo test --workspace --locked --no-fail-fast --features faults

torture:
	TORTURE_SECONDS=$(SECONDS) TORTURE_SEED=$(SEED) cargo test --locked --features faults --test cli torture -- --ignored --nocapture

lint:
	cargo fmt --all -- --check
	cargo clippy --workspace --all-targets --locked --features faults -- -D warnings

bench: build
	$(BOWLINE) bench $(CORPUS)

bench-peers: build $(VENV)/.complete
	python3 tests/peers/peers.py --bowline $(BOWLINE) --python $(VENV)/bin/python $(CORPUS)

bench-stages:
	CORPUS=$(abspath $(CORPUS)) cargo bench --locked -p bowline-workers --bench stages -- $(BENCH)

parity: build $(VENV)/.complete
	$(VENV)/bin/python tests/parity/parity.py --bowline $(BOWLINE) $(CORPUS)

same-bytes: build
	tests/same-bytes $(CORPUS)

install: build
	install -D $(BOWLINE) $(DESTDIR)$(PREFIX)/bin/bowline

clean:
	cargo clean

# scikit-learn, for `make parity` and `make bench-peers` only. Says so and stops where there is no Python.
$(VENV)/.complete: tests/parity/requirements.txt
	@python3 -c 'import venv, ensurepip' 2>/dev/null || { echo "this needs python3 with its venv module"; exit 1; }
	python3 -m venv $(VENV) && $(VENV)/bin/pip install --quiet --disable-pip-version-check -r tests/parity/requirements.txt && touch $@
