#!/usr/bin/env bash
# fuzz.sh TIME: runs each fuzz target of each package for TIME. A package's test program is built once, with the
# instrumentation for fuzzing, and not once per target.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$PWD
time=${1:?how long, as 20s}

programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT
cache=$(go env GOCACHE)/fuzz

found=0
mapfile -t dirs < <(git -c safe.directory='*' ls-files --cached --others --exclude-standard '*_test.go' |
	xargs grep -lE '^func Fuzz' /dev/null | xargs -n 1 dirname | sort -u)
for dir in "${dirs[@]}"; do
	go test -C "$dir" -c -fuzz . -o "$programs/fuzz.test" .
	package=$(go list -C "$dir" .)
	mapfile -t targets < <(cd "$dir" && grep -hoE '^func Fuzz[A-Za-z0-9_]*' ./*_test.go | sed 's/^func //')
	for target in "${targets[@]}"; do
		found=$((found + 1))
		echo "==> fuzz $target in $dir"
		(cd "$root/$dir" && "$programs/fuzz.test" -test.run '^$' -test.fuzz "^$target\$" -test.fuzztime "$time" \
			-test.fuzzcachedir "$cache/$package" -test.timeout 0)
	done
done

if [ "$found" = 0 ]; then
	echo "fuzz: no target found" >&2
	exit 1
fi
echo "fuzz: $found targets"
