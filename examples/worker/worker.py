"""A worker in Python beside those in Go: the same leases, the same queue, the same guard.

    python3 examples/worker/worker.py DSN [turns]

It needs psycopg2, and lock/clients/lease.py of this repository.
"""

import pathlib
import random
import sys
import time

import psycopg2

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "lock" / "clients"))
from lease import Lease  # noqa: E402

NAME = "P"
JOB_SECONDS = 0.08  # what the work on a job takes


def turn(dsn, shard):
    """Waits for a shard, first come first served, and does one job of it."""
    with Lease(dsn, f"shard {shard}", owner=NAME, ttl=2.0) as lease:
        connection = psycopg2.connect(dsn)
        try:
            with connection, connection.cursor() as cursor:
                cursor.execute("SELECT id FROM job WHERE shard = %s AND tokens = '{}' ORDER BY id LIMIT 1", (shard,))
                (job,) = cursor.fetchone()
            time.sleep(JOB_SECONDS)  # the work
            with connection, connection.cursor() as cursor:
                lease.guard(cursor)  # this transaction commits before anybody else is granted the lease
                cursor.execute("UPDATE job SET workers = workers || %s::text, tokens = tokens || %s::bigint WHERE shard = %s AND id = %s",
                               (NAME, lease.token, shard, job))
        finally:
            connection.close()


def main():
    dsn, turns = sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else None
    with psycopg2.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT DISTINCT shard FROM job ORDER BY shard")
        shards = [shard for (shard,) in cursor.fetchall()]
    connection.close()
    done = 0
    while turns is None or done < turns:
        turn(dsn, random.choice(shards))
        done += 1


if __name__ == "__main__":
    main()
