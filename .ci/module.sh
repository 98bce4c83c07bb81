#!/usr/bin/env bash
# Builds, vets and tests a module of its own, and prints all of it at the end, so
# that modules can be tested beside each other.
#
#   .ci/module.sh DIRECTORY
set -euo pipefail

module=$1
log=$(mktemp)
trap 'rm -f "$log"' EXIT

rc=0
(
	cd "$module"
	go build -o /dev/null ./... && go vet ./... && go test -count=1 ./...
) >"$log" 2>&1 || rc=$?

echo "go build, vet, test $module"
cat "$log"
if [ "$rc" != 0 ]; then
	echo "make: failed in $module" >&2
fi
exit "$rc"
