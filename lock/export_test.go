package lock

import (
	"context"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// Queries lists the embedded statements by name, for a test that prepares each one.
func Queries(schema string) (map[string]string, error) {
	entries, err := queryFiles.ReadDir("query")
	queries := map[string]string{}
	for _, e := range entries {
		queries[e.Name()] = sqltext.Load(queryFiles, "query/"+e.Name(), schema)
	}
	return queries, err
}

// The parts that are tested by themselves.
var (
	Elapsed = elapsed.Between
	Trust   = trust
)

// Purge deletes now what Run deletes now and then.
func (l *Locker) Purge(ctx context.Context) error { return l.c.purge(ctx) }

// PageRows is how many rows a purge looks at in one statement.
const PageRows = purgePage

// Leaving is how many are about to leave a queue in the background.
func (l *Locker) Leaving() int { return l.c.leaves.pending() }

// Hasty is the same Locker with a TTL that is shorter than the least, for tests of what ends.
func (l *Locker) Hasty(ttl time.Duration) *Locker {
	o := l.options
	o.TTL = ttl
	return &Locker{c: l.c, options: o, meta: l.meta}
}

// Grant is a lease as if the database had granted it now.
func (l *Locker) Grant(key string, token int64) *Lease {
	lease := newLease(l.attempt(context.Background(), key), token, "database", time.Now(), nil)
	l.c.add(lease)
	return lease
}

// Due is how many leases a heartbeat would renew now, and when the next one is due.
func (l *Locker) Due() (n int, at time.Time) {
	batch, at := (&heartbeat{c: l.c}).due(time.Now())
	return len(batch), at
}

// Forget is another lease with the same token, so that the one can be released and the other does not know.
func (l *Locker) Forget(lease *Lease) *Lease {
	a := l.attempt(context.Background(), lease.key)
	a.id = lease.id
	return newLease(a, lease.token, lease.database, time.Now(), nil)
}

// Renewed is what a heartbeat that was sent at a time does on success.
func (l *Lease) Renewed(sent time.Time) { l.renewed(sent, nil) }

// Unanswered is what a heartbeat that gets no answer does, under a session that was proven some time ago.
func (l *Lease) Unanswered(proven, trust time.Duration) {
	one := &session{trust: trust}
	at := time.Now().Add(-proven)
	one.proven.Store(&at)
	l.renewing(one)
}

// ID is the grant's id.
func (l *Lease) ID() string { return l.id }

// Backdate makes the lease look as if its newest renewal had been sent earlier.
func (l *Lease) Backdate(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = l.sent.Add(-d)
}

// BackdateWall does so for the wall clock only, as if the machine had been suspended.
func (l *Lease) BackdateWall(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = l.sent.Round(0).Add(-d)
}

// HasSession reports whether there is a session for leases to end with.
func (l *Locker) HasSession() bool {
	one, _, _ := l.c.sessions.binding()
	return one != nil
}

// Senders sets how many statements that take leases are sent at once before others gather.
func (l *Locker) Senders(n int) { l.c.takings.senders = n }

// AddWaiters has ids count as waiters of this process, without a goroutine for each.
func (l *Locker) AddWaiters(key string, ids []string) {
	for _, id := range ids {
		l.c.register(&waiter{id: id, key: key, woken: make(chan struct{}, 1), dropped: make(chan struct{}, 1)})
	}
}

// Touch does what the loop of Run does for its waiters.
func (l *Locker) Touch(ctx context.Context) error {
	k := &link{c: l.c}
	defer k.close()
	ids, _ := l.c.waiting()
	return l.c.touch(ctx, k, ids)
}

// Untouched is how many waiters the last touch did not come to.
func (l *Locker) Untouched() int { return len(l.c.untouched) }
