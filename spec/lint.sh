#!/bin/sh
# Holds openapi.yaml against the rule sets and generators that its readers use.
#
#   spec/lint.sh              all checks
#   spec/lint.sh CHECK...     some of: fresh validator redocly spectral typescript python
#   spec/lint.sh install      only install the tools
#
# The tools have fixed versions and go into .tools/ at the root of the checkout, once. PYTHON names an interpreter
# with the development dependencies; .venv is the default. OPENAPI names another description to check.
# Ends with 0 when all is well, 1 on a finding, 3 when the tools cannot be installed.
set -eu
cd "$(dirname "$0")/.."

redocly=@redocly/cli@2.77.0
spectral=@stoplight/spectral-cli@6.16.3
typescript="openapi-typescript@7.13.0 typescript@5.9.3"
client=openapi-python-client==0.29.1

root=$PWD
openapi=${OPENAPI:-$root/spec/openapi.yaml}
tools=$root/.tools/contract-1
python=${PYTHON:-$root/.venv/bin/python}
[ -x "$python" ] || python=$(command -v python3)

unavailable() {
  echo "contract tools: $1" >&2
  exit 3
}

install() {
  [ -d "$tools" ] && return 0
  command -v npm >/dev/null || unavailable "npm is missing; install Node.js 20 or newer"
  mkdir -p .tools
  printf '*\n' >.tools/.gitignore
  part=$(mktemp -d "$root/.tools/part.XXXXXX")
  trap 'rm -rf "$part"' EXIT
  echo '{"private": true}' >"$part/package.json"
  # Both at once: they wait for the network, not for each other.
  "$python" -m pip install --quiet --disable-pip-version-check --target "$part/python" "$client" \
    >"$part/pip.log" 2>&1 &
  pip=$!
  npm=0
  # shellcheck disable=SC2086 - two packages
  npm install --prefix "$part" --ignore-scripts --no-audit --no-fund --no-package-lock --silent \
    "$redocly" "$spectral" $typescript >"$part/npm.log" 2>&1 || npm=$?
  wait "$pip" || unavailable "pip could not install $client: $(tail -n 1 "$part/pip.log")"
  [ "$npm" = 0 ] || unavailable "npm could not install the packages: $(tail -n 1 "$part/npm.log")"
  mv "$part" "$tools" 2>/dev/null || [ -d "$tools" ]
  trap - EXIT
}

# Runs quietly; what was said is shown when it failed, or when it holds the given word.
quietly() {
  word=$1
  shift
  if said=$("$@" 2>&1); then
    case $said in *"$word"*) ;; *) return 0 ;; esac
  fi
  printf '%s\n' "$said" >&2
  return 1
}

fresh() { "$python" -m weighbridge.openapi_bundle --check; }

validator() { quietly "Error" "$python" -m openapi_spec_validator --errors all "$openapi"; }

redocly() {
  export REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
  quietly "  warning  " "$tools/node_modules/.bin/redocly" lint --format stylish --config spec/redocly.yaml "$openapi"
}

spectral() {
  quietly "✖" "$tools/node_modules/.bin/spectral" lint --ruleset spec/spectral.yaml --fail-severity hint "$openapi"
}

typescript() {
  work=$(mktemp -d)
  status=0
  quietly "⚠" "$tools/node_modules/.bin/openapi-typescript" "$openapi" --output "$work/contract.ts" &&
    quietly "error" "$tools/node_modules/.bin/tsc" --strict --noEmit --target es2022 "$work/contract.ts" || status=1
  rm -rf "$work"
  return "$status"
}

python() {
  work=$(mktemp -d)
  echo 'post_hooks: []' >"$work/config.yaml"
  status=0
  PYTHONPATH=$tools/python quietly "arning" "$python" -m openapi_python_client generate --fail-on-warning \
    --path "$openapi" --config "$work/config.yaml" --meta none --output-path "$work/contract_client" &&
    quietly "Error" "$python" -m compileall -q "$work/contract_client" &&
    (cd "$work" && PYTHONPATH=$tools/python:$work quietly "error" "$python" -c "$every_module") || status=1
  rm -rf "$work"
  return "$status"
}
every_module='
import importlib, pkgutil, contract_client
names = [module.name for module in pkgutil.walk_packages(contract_client.__path__, "contract_client.")]
for name in names:
    importlib.import_module(name)
assert len(names) > 100, names
'

[ $# -gt 0 ] || set -- fresh validator redocly spectral typescript python
case "$*" in *install* | *redocly* | *spectral* | *typescript* | *python*) install ;; esac
failed=0
for check in "$@"; do
  case $check in
    install) ;;
    fresh | validator | redocly | spectral | typescript | python)
      if "$check"; then echo "$check: no finding"; else echo "$check: failed" && failed=1; fi ;;
    *) echo "there is no check $check; see the head of $0" >&2 && exit 2 ;;
  esac
done
exit "$failed"
