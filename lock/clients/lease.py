"""Leases of pgcoherence from Python, with psycopg2.

    with Lease(dsn, "report/2026-07", owner="worker-1") as lease:
        with connection, connection.cursor() as cursor:
            lease.guard(cursor)      # this transaction commits before anybody else is granted the lease
            cursor.execute(...)
        lease.check()                # raises Lost

A lease has two connections: one to wait on, and one to renew on, in a thread of its own.
"""

import contextlib
import select
import threading
import time
import uuid

import psycopg2


class Lost(Exception):
    """The lease is no longer ours. Stop what it protects."""


class Lease:
    def __init__(self, dsn, key, owner, ttl=15.0):
        self.dsn, self.key, self.owner, self.ttl = dsn, key, owner, ttl
        self.token = None
        self._valid_until = 0.0
        self._ended = threading.Event()

    def acquire(self, timeout=None):
        """Waits in the queue for the lease, and returns whether it was granted before the timeout, in seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        waiter = str(uuid.uuid4())
        with contextlib.closing(_connect(self.dsn)) as connection, connection.cursor() as cursor:
            cursor.execute("LISTEN pgcoherence_lease")
            while True:
                sent = time.monotonic()
                cursor.execute(
                    "SELECT token, extract(epoch FROM retry_in)::float8 FROM pgcoherence.lease_acquire(%s, %s, %s * interval '1 s', %s)",
                    (self.key, self.owner, self.ttl, waiter))
                self.token, retry_in = cursor.fetchone()
                if self.token is not None:
                    break
                if deadline is not None:
                    retry_in = min(retry_in, deadline - time.monotonic())
                    if retry_in <= 0:
                        cursor.execute("SELECT pgcoherence.lease_leave(%s, %s)", (self.key, waiter))
                        return False
                _wait(connection, waiter, retry_in)
        self._trust(sent)
        self._ended.clear()
        self._renewer = threading.Thread(target=self._renew, daemon=True)
        self._renewer.start()
        return True

    def guard(self, cursor):
        """Ties the cursor's transaction to the lease."""
        cursor.execute("SELECT pgcoherence.lease_guard(%s, %s)", (self.key, self.token))

    def check(self):
        """Raises Lost if the lease could not be renewed in time."""
        if time.monotonic() >= self._valid_until:
            raise Lost(self.key)

    def release(self):
        """Gives the lease up, and returns whether it was still held."""
        self._ended.set()
        self._renewer.join()
        self._valid_until = 0.0
        with contextlib.closing(_connect(self.dsn)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT pgcoherence.lease_release(%s, %s)", (self.key, self.token))
            return cursor.fetchone()[0]

    def _trust(self, sent):
        self._valid_until = sent + 0.9 * self.ttl  # before the database's deadline, whatever the clocks' rates

    def _renew(self):
        connection = None
        while not self._ended.wait(self.ttl / 3) and time.monotonic() < self._valid_until:
            try:
                connection = connection or _connect(self.dsn)
                sent = time.monotonic()
                with connection.cursor() as cursor:
                    cursor.execute("SELECT pgcoherence.lease_renew(%s, %s, %s * interval '1 s')", (self.key, self.token, self.ttl))
                    if not cursor.fetchone()[0]:
                        self._valid_until = 0.0
                        break
                self._trust(sent)
            except psycopg2.Error:  # tried again until the lease is over
                connection = None
        if connection is not None:
            connection.close()

    def __enter__(self):
        self.acquire()
        return self

    def __exit__(self, *_):
        self.release()


def _connect(dsn):
    """A connection on which each statement is a transaction; `with connection:` would begin one that lasts."""
    connection = psycopg2.connect(dsn, connect_timeout=3)
    connection.autocommit = True
    return connection


def _wait(connection, waiter, seconds):
    """Returns when the waiter was handed the lease, or after so many seconds."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        if select.select([connection], [], [], left)[0]:
            connection.poll()
            heard = [n.payload for n in connection.notifies]
            del connection.notifies[:]
            if waiter in heard:
                return
