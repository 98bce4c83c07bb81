#!/usr/bin/env bash
# Compares the exported API of every public module with that of a released version, by apidiff, and prints what an
# importer's code would no longer compile or mean the same with. Such a change passes only if CHANGELOG.md says how to
# move, in a section "### Breaking" of [Unreleased].
#
#   .ci/api.sh [COMMIT]
#
# Without COMMIT the base is the newest version of CHANGELOG.md: its tag, or where tags were not fetched, the commit
# that gave the version its heading.
set -euo pipefail

APIDIFF=golang.org/x/exp/cmd/apidiff@v0.0.0-20261113113407-e3970619a1a4

cd "$(dirname "${BASH_SOURCE[0]}")/.."

base=${1:-}
if [ -z "$base" ]; then
	version=$(sed -nE 's/^## \[([0-9]+\.[0-9]+\.[0-9]+)\].*/\1/p' CHANGELOG.md | head -n 1)
	if [ -z "$version" ]; then
		echo "api: CHANGELOG.md has no released version to compare with" >&2
		exit 1
	fi
	base=v$version
	if ! git rev-parse --quiet --verify "$base^{commit}" >/dev/null; then
		base=$(git log --reverse --format=%H -S"## [$version]" -- CHANGELOG.md | head -n 1)
	fi
	if [ -z "$base" ]; then
		echo "api: neither a tag v$version nor the commit that wrote its heading is in this clone; fetch the whole history" >&2
		exit 1
	fi
	echo "api: comparing with $version ($(git rev-parse --short "$base"))"
fi

work=$(mktemp -d)
trap 'git worktree remove --force "$work/base" 2>/dev/null || true; rm -rf "$work"' EXIT
git worktree add --quiet --detach "$work/base" "$base"
GOFLAGS='' GOBIN="$work" go install "$APIDIFF"

# public prints the folders of the modules that others import; examples, programs and the laboratory are not among them.
public() {
	git -C "$1" ls-files go.mod '*/go.mod' | xargs -n 1 dirname |
		grep -Ev '(^|/)(examples|cmd|internal|browsertest)(/|$)'
}

incompatible=$work/incompatible
while read -r module; do
	if [ ! -e "$module/go.mod" ]; then
		echo "module $module is gone" >>"$incompatible"
		continue
	fi
	path=$(cd "$work/base/$module" && go list -m)
	(cd "$work/base/$module" && "$work/apidiff" -m -w "$work/export" "$path" 2>"$work/log") || {
		cat "$work/log" >&2
		exit 1
	}
	(cd "$module" && "$work/apidiff" -m -incompatible "$work/export" "$path" 2>"$work/log" >"$work/diff") || {
		cat "$work/log" >&2
		exit 1
	}
	if [ -s "$work/diff" ]; then
		printf '%s\n' "$path" >>"$incompatible"
		cat "$work/diff" >>"$incompatible"
	else
		echo "api: $path is compatible"
	fi
done < <(public "$work/base")

if [ -s "$incompatible" ]; then
	echo "api: incompatible changes:"
	cat "$incompatible"
	if awk '/^## \[Unreleased\]/ { on = 1; next } /^## / { on = 0 } on && /^### Breaking/ { found = 1 } END { exit !found }' CHANGELOG.md; then
		echo "api: CHANGELOG.md has a section Breaking, which has to name each of them"
	else
		echo "api: CHANGELOG.md says nothing of them in a section \"### Breaking\" of [Unreleased]" >&2
		exit 1
	fi
fi
