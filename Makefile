# Everything a newcomer needs: `make quickstart` shows what it does, `make test` passes the tests.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: quickstart study shipped test test-fast tiny-bundle golden coverage check docs clean

quickstart: .venv/installed
	$(BIN)/redhanded tour

# The paper's grid on real digits, from the victims to a report and a bundle: a quarter of an hour on two cores.
study: .venv/installed
	$(BIN)/redhanded run quick
	test -e runs/quick/bundle || $(BIN)/redhanded bundle runs/quick --out runs/quick/bundle

# The bundles that come with the package, from the victims on. SCALE=small is half of it; SOURCES names files in place
# of downloads: SOURCES="--source cifar10=cifar10.npz --source mnist=mnist.npz".
SCALE ?= laptop
SOURCES ?=
PACKED := --blind --without-examples --half
shipped: .venv/installed
	$(BIN)/redhanded run wild --scale $(SCALE) $(SOURCES)
	$(BIN)/redhanded run wild-mnist --scale $(SCALE) $(SOURCES)
	rm -rf src/redhanded/bundle/shipped/cifar10 src/redhanded/bundle/shipped/mnist
	$(BIN)/redhanded bundle runs/wild --out src/redhanded/bundle/shipped/cifar10 $(PACKED) --without-victims --held-out 1000
	$(BIN)/redhanded bundle runs/wild-mnist --out src/redhanded/bundle/shipped/mnist $(PACKED) --victims vgg16-0 --half-victims --held-out 600

test: .venv/tested
	$(BIN)/pytest -n auto --dist loadfile

test-fast: .venv/tested
	$(BIN)/pytest -n auto --dist loadfile -m "not slow and not browser and not hostile"

# The bundle that the tests share: needed anew where the format of bundles changes.
tiny-bundle: .venv/tested
	cd tests && ../$(BIN)/python -m support.tiny_bundle

# What each kind of step writes, as tests/engine/test_golden.py keeps it: needed anew where a version was raised, with
# TRAIN=--train where networks have another shape.
golden: .venv/tested
	cd tests && ../$(BIN)/python -m support.golden $(TRAIN)

coverage: .venv/tested
	$(BIN)/pytest -n auto --dist loadfile --cov

check: .venv/checked docs
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: .venv/checked
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

.venv/installed: pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Redhanded needs Python 3.11 or newer")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check -e .
	touch $@

.venv/tested: .venv/installed
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[test]'
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps torchattacks cleverhans adv-lib
	touch $@

.venv/checked: .venv/tested
	$(BIN)/pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

clean:
	rm -rf .venv runs site
