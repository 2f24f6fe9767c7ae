# Every target does its own set-up; a second call re-uses it.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Tests that start nothing and wait for nothing.
FAST := tests/checks tests/spec tests/packaging/test_documented.py tests/defects/test_catalogue.py \
  $(addprefix tests/core/test_,import_rules.py judgement.py money.py sse.py wire.py) \
  $(addprefix tests/loadtests/test_,arrivals.py capacity.py figures.py gates.py histogram.py) \
  $(addprefix tests/reference_gateway/test_,config.py money.py sse.py translation.py) \
  --ignore=tests/spec/test_contract_tools.py --ignore=tests/spec/test_openapi.py

.PHONY: setup run fuzz-simulator test check pythons wheel contract prove kill-matrix soak litellm portkey bench docs changelog sbom hooks clean crash help

setup: $(STAMP)  ## make .venv with everything in it

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Weighbridge needs Python 3.11 or newer; call make PYTHON=python3.12"; exit 2; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo "python -m venv failed; on Debian: apt-get install python3-venv"; exit 2; }
	@echo "Setting up $(VENV) (once, about a minute)"
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@$(BIN)/python -m compileall -q weighbridge mock_upstreams reference_gateway defects suites spec loadtests
	@touch $(STAMP)

run: $(STAMP)  ## judge the embedded reference gateway; options in ARGS
	@$(BIN)/weighbridge run $(ARGS)

fuzz-simulator: $(STAMP)  ## 100,000 mutated requests to the provider simulator
	@SIMULATOR_FUZZ_REQUESTS=100000 $(BIN)/python -m pytest -q tests/mock_upstreams/test_fuzz.py $(ARGS)

test: $(STAMP)  ## the project's own tests
	@tests/bring.sh
	@$(BIN)/python -m pytest tests -n 2 --dist worksteal $(ARGS)

crash: $(STAMP)  ## kill the gateway 500 times at work, on both databases, and audit what is left; options in ARGS
	@$(BIN)/python -m tests.crash $(ARGS)

check: $(STAMP)  ## format, lint, types, fast tests
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q -n 2 $(FAST)

wheel: $(STAMP)  ## sdist and wheel, into dist/
	@$(BIN)/python -m build --no-isolation --outdir dist .

pythons: $(STAMP)  ## the wheel and the fast tests on every supported Python that is found
	@$(BIN)/python tests/pythons.py $(FAST)

contract: $(STAMP)  ## lint the OpenAPI description, generate clients from it (needs node and npm)
	@PYTHON=$(CURDIR)/$(BIN)/python spec/lint.sh

prove: $(STAMP)  ## judge every deliberately wrong gateway
	@$(BIN)/weighbridge prove --json reports/runs/kill-matrix.json $(ARGS)

kill-matrix: prove  ## the same, and docs/kill-matrix.md from it
	@$(BIN)/python -m weighbridge.kill_matrix reports/runs/kill-matrix.json

soak: $(STAMP)  ## twenty whole runs of the right gateway: not one accusation
	@$(BIN)/weighbridge prove --clean-runs 20 $(ARGS)

litellm: $(STAMP)  ## judge a real LiteLLM proxy, installed into an environment of its own
	@$(BIN)/python targets/litellm/gateway.py with -- $(BIN)/weighbridge run --target targets/litellm.yaml $(ARGS)

bench: $(STAMP)  ## measure against the peers, side by side; options in ARGS (about half an hour)
	@tests/bring.sh
	@$(BIN)/python benchmarks/run.py $(ARGS)

docs: export NO_MKDOCS_2_WARNING = 1
docs: $(STAMP)  ## build the documentation into build/docs; a broken link is an error
	@$(BIN)/mkdocs build --strict
	@echo "Documentation: build/docs/index.html"

changelog: $(STAMP)  ## what the next release will say
	@$(BIN)/towncrier build --draft --version next

sbom: $(STAMP)  ## bill of materials and licences of what an install brings, into build/; extras in EXTRAS
	@$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[release]'
	@rm -rf build/install && $(BIN)/python -m venv --without-pip build/install
	@$(BIN)/pip --python build/install install --quiet --disable-pip-version-check -c constraints.txt '.$(if $(EXTRAS),[$(EXTRAS)])'
	@$(BIN)/cyclonedx-py environment --pyproject pyproject.toml --of JSON -o build/sbom.json build/install/bin/python
	@$(BIN)/pip-licenses --python build/install/bin/python --format markdown --order license > build/licences.md
	@echo "build/sbom.json, build/licences.md"

hooks: $(STAMP)  ## run the checks before each commit
	@$(BIN)/pre-commit install

portkey: $(STAMP)  ## judge a real Portkey gateway, installed into a folder of its own (needs node and npm)
	@$(BIN)/python targets/portkey/gateway.py with -- $(BIN)/weighbridge run --target targets/portkey.yaml $(ARGS)

help:  ## this list
	@sed -n 's/^\([a-z][a-z-]*\):.*  ## \(.*\)/\1 \2/p' $(firstword $(MAKEFILE_LIST)) | while read -r name what; do printf '%-16s %s\n' "$$name" "$$what"; done

clean:  ## remove what set-up and runs made
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis reports/runs build dist
