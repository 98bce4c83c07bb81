#!/usr/bin/env bash
# Finds what the tests need, installs what is missing where that can be done
# without asking (root and apt-get), and says what it could not do.
#
#   .ci/prepare.sh
#   .ci/prepare.sh recovery     and what make test-recovery needs
#
# Under CI=true anything still missing is an error: a test that cannot run must
# not pass. On a developer's machine it is a warning, because the tests have
# further ways to a Postgres (a container, a download).
set -euo pipefail

say() { printf 'prepare: %s\n' "$*" >&2; }

missing=0
lack() {
	say "MISSING: $*"
	missing=1
}

can_install() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

# The package lists are read once, and only when something has to be installed.
updated=0
install() {
	if ! can_install; then
		return 1
	fi
	if [ "$updated" = 0 ]; then
		say "apt-get update"
		apt-get update -qq >&2 </dev/null || say "apt-get update had an error; trying with the lists at hand"
		updated=1
	fi
	say "apt-get install $*"
	local failed=0
	hold_services
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >&2 </dev/null || failed=$?
	release_services
	return "$failed"
}

# A package that brings a service starts it, on its default port. The tests start their own, so for as long as packages
# are installed Debian's policy hook says no; a machine that has a policy of its own keeps it.
policy=/usr/sbin/policy-rc.d
held=0
hold_services() {
	[ ! -e "$policy" ] || return 0
	held=1
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
}
release_services() {
	[ "$held" = 0 ] || rm -f "$policy"
	held=0
}
trap release_services EXIT

server_binaries() {
	local dir
	if [ -n "${PGCOHERENCE_POSTGRES_BIN:-}" ] && [ -x "$PGCOHERENCE_POSTGRES_BIN/initdb" ]; then
		echo "$PGCOHERENCE_POSTGRES_BIN"
		return
	fi
	if command -v initdb >/dev/null && command -v pg_ctl >/dev/null; then
		dirname "$(command -v initdb)"
		return
	fi
	for dir in /usr/lib/postgresql/*/bin; do
		if [ -x "$dir/initdb" ]; then
			echo "$dir"
			return
		fi
	done
	return 1
}

# --- Go ---------------------------------------------------------------------
if ! command -v go >/dev/null; then
	say "MISSING: go. Install Go $(sed -n 's/^go //p' go.mod) or newer; nothing here works without it"
	exit 1
fi
say "$(go version)"

# --- a C compiler, for the race detector ---------------------------------------
cc=$(go env CC)
if ! command -v "${cc%% *}" >/dev/null; then
	install gcc libc6-dev || true
	command -v "${cc%% *}" >/dev/null || lack "a C compiler ($cc); the race detector needs one"
fi

# --- what tests put beside Postgres -----------------------------------------------
# need COMMAND PACKAGE USE: Debian puts some servers where only root's PATH finds them.
need() {
	command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] && return
	install "$2" || true
	command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] || lack "$1 (package $2); $3"
}
need pgbouncer pgbouncer "the tests behind a pooler will be skipped"
need redis-server redis-server "the tests of the Redis tier will be skipped"
need faketime faketime "the fault rows that step the server's clock will be skipped"
need promtool prometheus "the tests of the alerts and the dashboard will be skipped"
need chromium chromium "the test of the live page in a browser will be skipped"

if [ "${1:-}" = recovery ]; then
	need patroni patroni "the switchover and the failover will be skipped"
	need etcd etcd-server "the switchover and the failover will be skipped"
	need haproxy haproxy "the recoveries behind HAProxy will be skipped"
	need patchelf patchelf "pg_upgrade to another version will fail"
fi

# Clients of the lock package in other languages.
need psql postgresql-client "the test with psql will be skipped"
psycopg() { python3 -c 'import psycopg2' 2>/dev/null || /usr/bin/python3 -c 'import psycopg2' 2>/dev/null; }
psycopg || install python3-psycopg2 || true
psycopg || lack "psycopg2 (package python3-psycopg2); the tests with Python clients will be skipped"
need javac default-jdk-headless "the test with Java clients will be skipped"
jdbc=${PGCOHERENCE_JDBC:-/usr/share/java/postgresql.jar}
[ -e "$jdbc" ] || install libpostgresql-jdbc-java || true
[ -e "$jdbc" ] || lack "$jdbc (package libpostgresql-jdbc-java); the test with Java clients will be skipped"

# --- Postgres ----------------------------------------------------------------
way=${PGCOHERENCE_POSTGRES:-}
if [ -n "${PGCOHERENCE_DATABASE_URL:-}" ] && [ "${way:-dsn}" = dsn ]; then
	say "Postgres: the server in PGCOHERENCE_DATABASE_URL"
elif [ "$way" = container ] || [ "$way" = download ]; then
	say "Postgres: by $way, as PGCOHERENCE_POSTGRES asks"
elif bin=$(server_binaries); then
	say "Postgres: server binaries in $bin ($("$bin/postgres" --version 2>/dev/null || echo 'version unknown'))"
elif install postgresql && bin=$(server_binaries); then
	say "Postgres: installed server binaries in $bin"
elif command -v docker >/dev/null && docker info >/dev/null 2>&1; then
	say "Postgres: no server binaries; the tests will start a container"
else
	lack "Postgres server binaries (package postgresql), and no container engine answers." \
		"The tests will try to download a server; see CONTRIBUTING.md for the other ways"
fi

if [ "$missing" = 1 ] && [ "${CI:-}" = true ]; then
	say "CI=true: what is missing is an error"
	exit 1
fi
