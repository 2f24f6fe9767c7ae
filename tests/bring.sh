#!/bin/sh
# What tests and benchmarks need beside Python packages: Node and npm for the official clients and the contract tools, Chromium
# for the report page, curl and bash for the lines of findings and the scripts of CI, a C compiler for the clients that measure.
# On Debian, as root, it is installed; elsewhere one line says what is missing and how to get it. PostgreSQL comes from a
# wheel where the system has none. Tests whose tool is missing skip loudly, or fail with REQUIRE_ALL=1.
set -eu

missing=""
command -v node >/dev/null 2>&1 && command -v npm >/dev/null 2>&1 || missing="$missing nodejs npm"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
  command -v google-chrome >/dev/null 2>&1 || missing="$missing chromium"
command -v curl >/dev/null 2>&1 || missing="$missing curl"
command -v bash >/dev/null 2>&1 || missing="$missing bash"
# Benchmarks, and the tests of their load client, need a C compiler.
command -v cc >/dev/null 2>&1 || missing="$missing gcc libc6-dev"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  echo "Installing$missing (once)"
  # shellcheck disable=SC2086 # one word for each package
  if apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null; then
    exit 0
  fi
fi
echo "TESTS WILL SKIP and BENCHMARKS LEAVE PEERS OUT: missing$missing; on Debian: apt-get install$missing" >&2
