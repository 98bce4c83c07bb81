#!/usr/bin/env bash
#
# Makes a Postgres image for the container way of internal/lab/pgtest out of the
# server binaries on this machine, so that the container way can be exercised
# where no image can be pulled. Prints the image's name as its last line:
#
#   image=$(.ci/docker-image.sh | tail -n 1)
#   PGCOHERENCE_POSTGRES=container PGCOHERENCE_POSTGRES_IMAGE=$image go test ./internal/lab/pgtest
#
# Other users of testcontainers: where the tests themselves run inside a
# container (there is a /.dockerenv) beside the engine, testcontainers guesses the
# bridge's gateway as the host of published ports, which leads nowhere here; set
# TESTCONTAINERS_HOST_OVERRIDE=127.0.0.1. pgtest tries both by itself.
#
# Safe to repeat: an engine which answers is used as it is, and an image made
# from the same binaries and the same script is not built again.
#
# Environment: PGCOHERENCE_POSTGRES_BIN  directory of initdb, postgres, pg_ctl
#              PGCOHERENCE_POSTGRES_IMAGE name of the image to make
set -euo pipefail

image=${PGCOHERENCE_POSTGRES_IMAGE:-pgcoherence/postgres:local}

say() { printf 'docker-image: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

engine_answers() { docker version --format '{{.Server.Version}}' >/dev/null 2>&1; }

# ---------------------------------------------------------------- the engine

install_engine() {
    command -v dockerd >/dev/null && command -v docker >/dev/null && return
    command -v apt-get >/dev/null || die "no docker engine, and no apt-get to install one"
    say "installing docker.io"
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y -q --no-install-recommends docker.io >&2 ||
        { apt-get update -q >&2 && apt-get install -y -q --no-install-recommends docker.io >&2; }
}

start_engine() {
    local log
    log=$(mktemp -d "${TMPDIR:-/tmp}/dockerd.XXXXXX")/dockerd.log
    say "starting dockerd, log in $log"
    # Without iptables there is no NAT: published ports are served by Docker's
    # userland proxy, which is all that the tests need, and the machine's
    # firewall rules stay as they are (many sandboxes allow no change).
    # setsid and the closed streams let it outlive this script and its caller.
    setsid dockerd --iptables=false --ip-masq=false </dev/null >"$log" 2>&1 &
    local i
    for ((i = 0; i < 150; i++)); do
        engine_answers && return
        sleep 0.2
    done
    tail -n 20 "$log" >&2
    die "dockerd did not answer within 30 s"
}

if ! engine_answers; then
    [[ $(id -u) == 0 ]] || die "no docker engine answers, and only root can start one"
    install_engine
    # Installing may have started one where there is a service manager.
    engine_answers || start_engine
fi

# ------------------------------------------------------------ what goes in it

find_bin() {
    local candidate
    for candidate in \
        "${PGCOHERENCE_POSTGRES_BIN:-}" \
        "$(dirname "$(readlink -f "$(command -v postgres || echo /nonexistent/postgres)")")" \
        $(printf '%s\n' /usr/lib/postgresql/*/bin | sort -rV); do
        if [[ -x $candidate/postgres && -x $candidate/initdb && -x $candidate/pg_ctl ]]; then
            readlink -f "$candidate"
            return
        fi
    done
    return 1
}

bin=$(find_bin) || die "no initdb, postgres and pg_ctl: set PGCOHERENCE_POSTGRES_BIN"
version=$("$bin/postgres" --version)

# Debian keeps the shared files elsewhere and says so through pg_config;
# relocatable builds keep them beside bin.
if [[ -x $bin/pg_config ]]; then
    share=$("$bin/pg_config" --sharedir)
    pkglib=$("$bin/pg_config" --pkglibdir)
else
    pkglib=$(readlink -f "$bin/../lib")
    share=$(readlink -f "$bin/../share")
fi

# The label tells whether the image is still the one this script would make.
stamp=$( (echo "$version $bin" && cat "$0") | sha256sum | cut -c1-16)
have=$(docker image inspect --format '{{index .Config.Labels "pgcoherence.stamp"}}' "$image" 2>/dev/null || true)
if [[ $have == "$stamp" ]]; then
    say "$image is there already ($version)"
    echo "$image"
    exit 0
fi

root=$(mktemp -d "${TMPDIR:-/tmp}/pgimage.XXXXXX")
trap 'rm -rf "$root"' EXIT
# Its mode becomes that of the container's /, and mktemp makes it private.
chmod 0755 "$root"

# copy FILE… puts files at the same path below $root, links followed. From /,
# since cp looks for the directories whose mode it keeps below the current one.
copy() { (cd / && cp --parents --dereference --recursive --preserve=mode "$@" "$root"); }

# Programs of the entrypoint. awk and grep are for testcontainers: its check of
# a listening port runs inside the container and reads /proc/net/tcp with them.
programs=()
for name in bash env id mkdir chown chmod cat sleep rm ls setpriv awk grep; do
    programs+=("$(command -v "$name")") || die "$name is missing on this machine"
done
server=("$bin/initdb" "$bin/postgres" "$bin/pg_ctl")

say "copying $version from $bin"
copy "${programs[@]}" "${server[@]}" "$share" /usr/share/zoneinfo /etc/nsswitch.conf
# Without LLVM's provider the server just does not compile queries; LLVM would
# be most of the image.
(cd / && find "${pkglib#/}" -name '*.so*' ! -name 'llvmjit*' -exec cp --parents --dereference {} "$root" \;)

# Every shared library which one of them names, with the loader itself. The
# name service is loaded by name only, so ldd cannot know it.
find "$root" -type f \( -perm -u+x -o -name '*.so*' \) -print0 |
    xargs -0 -n 1 ldd 2>/dev/null |
    awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// { print $1 }' |
    sort -u |
    while read -r library; do copy "$library"; done
for library in /lib/*-linux-gnu/libnss_files.so.2; do
    [[ -e $library ]] && copy "$library"
done

mkdir -p "$root"/{tmp,dev,proc,sys,etc,bin,usr/bin,usr/local/bin,var/lib/postgresql,docker-entrypoint-initdb.d}
chmod 1777 "$root/tmp"
# Scripts and engines look for programs in /bin, too.
for program in "${programs[@]}"; do
    [[ -e $root/bin/${program##*/} ]] || ln -s "$program" "$root/bin/${program##*/}"
    [[ -e $root/usr/bin/${program##*/} ]] || ln -s "$program" "$root/usr/bin/${program##*/}"
done
ln -sf "$(command -v bash)" "$root/bin/sh"
ln -sfn "$bin" "$root/usr/local/pgsql"
printf 'root:x:0:0:root:/root:/bin/bash\npostgres:x:999:999:postgres:/var/lib/postgresql:/bin/bash\n' >"$root/etc/passwd"
printf 'root:x:0:\npostgres:x:999:\n' >"$root/etc/group"

# Behaves like the official image as far as testcontainers' module relies on
# it: the same variables, a temporary server for the set-up (so that the ready
# line comes twice), then the server in the foreground on all addresses.
cat >"$root/usr/local/bin/docker-entrypoint.sh" <<'ENTRYPOINT'
#!/bin/bash
set -euo pipefail
[[ ${1:-} == -* ]] && set -- postgres "$@"
[[ ${1:-} == postgres ]] || exec "$@"
if [[ $(id -u) == 0 ]]; then
    mkdir -p "$PGDATA"
    chown -R 999:999 /var/lib/postgresql
    # Postgres refuses to run as root.
    exec setpriv --reuid=999 --regid=999 --clear-groups "$BASH_SOURCE" "$@"
fi
user=${POSTGRES_USER:-postgres}
database=${POSTGRES_DB:-$user}
if [[ ! -s $PGDATA/PG_VERSION ]]; then
    [[ -n ${POSTGRES_PASSWORD:-} ]] || { echo "POSTGRES_PASSWORD must be set" >&2; exit 1; }
    initdb -D "$PGDATA" -U "$user" --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") \
        --auth-local=trust --auth-host=scram-sha-256 -E UTF8 --locale=C --no-sync >/dev/null
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    # Only a socket: nothing outside may take the temporary server for the real one.
    pg_ctl -D "$PGDATA" -w -s -o "-c listen_addresses='' -c unix_socket_directories=/tmp" start
    pg_ctl -D "$PGDATA" -w -s -m fast stop
    if [[ $database != postgres ]]; then
        # The single-user server takes one statement a line, and needs no client.
        echo "CREATE DATABASE \"$database\"" | postgres --single -D "$PGDATA" postgres >/dev/null
    fi
fi
shift
exec postgres -D "$PGDATA" -c "listen_addresses=*" -c unix_socket_directories=/tmp "$@"
ENTRYPOINT
chmod 0755 "$root/usr/local/bin/docker-entrypoint.sh"

say "importing $image"
tar -C "$root" -c . | docker import \
    --change 'ENTRYPOINT ["/usr/local/bin/docker-entrypoint.sh"]' \
    --change 'CMD ["postgres"]' \
    --change 'EXPOSE 5432' \
    --change 'ENV PGDATA=/var/lib/postgresql/data' \
    --change 'ENV LC_ALL=C' \
    --change "ENV PATH=/usr/local/bin:/usr/bin:/bin:/usr/local/pgsql" \
    --change "LABEL pgcoherence.stamp=$stamp" \
    - "$image" >&2
echo "$image"
