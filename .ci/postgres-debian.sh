#!/usr/bin/env bash
#
# Unpacks a complete Postgres, with pg_upgrade, pg_dump and psql, from Debian's packages of another release than the
# machine's, without installing anything: what .ci/postgres-npm.sh fetches has initdb, postgres and pg_ctl only. Prints
# the directory of the programs as its last line:
#
#   bin=$(.ci/postgres-debian.sh 18 /tmp/postgres | tail -n 1)
#
# VERSION is a major that a release of Debian has: 17 or 18. DIR must be searchable by the unprivileged user the server
# runs as when the tests run as root. It needs apt-get and patchelf, and neither root nor a change of the machine's own
# sources: apt works with lists, cache and state of its own below DIR.
set -euo pipefail

say() { printf 'postgres-debian: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

[[ $# == 2 ]] || die "usage: $0 VERSION DIR"
major=$1
case $major in
    17) suite=trixie ;;
    18) suite=forky ;;
    *) die "no release of Debian known for major $major: want 17 or 18" ;;
esac

mkdir -p "$2"
dir=$(cd "$2" && pwd)/debian-$major
root=$dir/root
bin=$root/usr/lib/postgresql/$major/bin

if [[ ! -e $dir/.complete ]]; then
    command -v apt-get >/dev/null || die "apt-get is needed to fetch Debian's packages"
    command -v patchelf >/dev/null || die "patchelf is needed (Debian: apt-get install patchelf)"

    # Where this machine has its packages from: another release is beside its own.
    # shellcheck disable=SC2016 # apt-get expands it
    archive=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Component: main' | grep -v security | head -n 1)
    [[ -n $archive ]] || die "apt has no source of packages here"

    rm -rf "$dir"
    mkdir -p "$dir"/apt/{lists/partial,cache/archives/partial,sources} "$dir/packages" "$root"
    printf 'deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] %s %s main\n' "$archive" "$suite" >"$dir/apt/sources/$suite.list"
    own=(-o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$dir/apt/sources" -o Dir::State::lists="$dir/apt/lists"
        -o Dir::Cache="$dir/apt/cache" -o Dir::State::status=/dev/null -o APT::Install-Recommends=false
        -o Acquire::Languages=none -o Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false
        -o APT::Sandbox::User=root -o quiet=2)

    say "reading the packages of $suite"
    apt-get "${own[@]}" update >&2

    # Of all that a server's package depends on, its programs load the libraries only.
    mapfile -t needed < <(apt-get "${own[@]}" install --print-uris -y "postgresql-$major" |
        sed -n "s/^'[^']*' \([^_]*\)_.*/\1/p" | grep -E "^(lib.*|zlib1g|postgresql-(client-)?$major)\$" | grep -v -E 'perl|systemd-shared')
    [[ ${#needed[@]} -gt 2 ]] || die "$suite has no postgresql-$major"
    say "fetching postgresql-$major and ${#needed[@]} libraries"
    (cd "$dir/packages" && apt-get "${own[@]}" download "${needed[@]}" >&2)
    for package in "$dir"/packages/*.deb; do dpkg-deb -x "$package" "$root"; done

    # They were linked for their release's C library, which is newer than the machine's: they get it, and all else, from
    # here. RPATH, which the libraries inherit, and not RUNPATH, which they do not.
    triplet=$(basename "$(dirname "$(find "$root/usr/lib" -name 'libpq.so.5' | head -n 1)")")
    libraries=$root/usr/lib/$triplet
    loader=$(find "$libraries" -maxdepth 1 -name 'ld-linux*' | head -n 1)
    for program in "$bin"/*; do
        patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$libraries" "$program" 2>/dev/null ||
            say "left as it is: $program" # a script
    done

    rm -rf "$dir/packages" "$dir/apt"
    chmod -R a+rX "$dir"
    "$bin/pg_upgrade" --version >&2
    touch "$dir/.complete"
fi

"$bin/postgres" --version >&2
echo "$bin"
