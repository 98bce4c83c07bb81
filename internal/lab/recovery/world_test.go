package recovery_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// patience bounds every wait of a test: long, for a slow machine, and only ever reached by a failure.
const patience = 90 * time.Second

const (
	podCount = 3
	keyCount = 12
)

// world is the pods on a database, and the ledger of what they do.
type world struct {
	t      testing.TB
	ledger *ledger
	pods   []*pod
	keys   []string
	makes  func(name string) *pod // one more pod

	last      atomic.Int64 // version
	kept      []string     // tokens of sessions that nobody revokes
	revoked   []string     // of those that were revoked before the recovery point
	lost      []string     // of those that were created after it
	before    *lock.Lease  // granted before it
	held      *lock.Lease  // granted after it
	known     map[string]string
	impatient time.Duration // how long a control waits for what does not come; 0: patience

	writing sync.Mutex // taken by a background writer for each write
}

// migrate makes the tables.
func migrate(t testing.TB, dsn string) {
	t.Helper()
	ctx := t.Context()
	pool, err := pgxpool.New(ctx, dsn)
	require.NoError(t, err)
	defer pool.Close()

	require.NoError(t, bus.Migrate(ctx, pool, &bus.MigrateConfig{Logger: quiet}))
	require.NoError(t, lock.Migrate(ctx, pool, &lock.MigrateConfig{Logger: quiet}))
	require.NoError(t, sessionstore.Migrate(ctx, pool, &sessionstore.MigrateConfig{Logger: quiet}))
	for _, sql := range []string{
		fmt.Sprintf("UPDATE pgcoherence.setting SET pod_lease = '%d milliseconds'", podLease.Milliseconds()),
		"CREATE TABLE item (key text PRIMARY KEY, version bigint NOT NULL DEFAULT 0)",
		"CREATE TABLE guarded (token bigint PRIMARY KEY)",
		fmt.Sprintf("INSERT INTO item (key) SELECT 'key-' || i FROM generate_series(1, %d) AS i", keyCount),
	} {
		_, err := pool.Exec(ctx, sql)
		require.NoError(t, err)
	}
}

// newWorld starts pods, and has all of them read all the time until the test ends.
func newWorld(t testing.TB, makes func(name string) *pod) *world {
	t.Helper()
	w := &world{t: t, ledger: newLedger(staleAfter), makes: makes, known: map[string]string{}}
	for i := range keyCount {
		w.keys = append(w.keys, fmt.Sprint("key-", i+1))
	}
	for i := range podCount {
		w.add(fmt.Sprint("pod-", i+1))
	}
	return w
}

// add starts a pod, and reads from it until the test ends.
func (w *world) add(name string) *pod {
	p := w.makes(name)
	w.pods = append(w.pods, p)
	return p
}

// reading reads values and sessions from all pods until the returned function is called, which waits for the last reads.
func (w *world) reading() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var readers sync.WaitGroup
	tokens := slices.Concat(w.kept, w.revoked, w.lost)
	for _, p := range w.pods {
		readers.Go(func() {
			for ctx.Err() == nil {
				w.readOnce(ctx, p, tokens)
				sleep(ctx, 5*time.Millisecond)
			}
		})
	}
	return func() {
		cancel()
		readers.Wait()
	}
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// readOnce reads each key and each session once. What a pod cannot read is not judged: it serves nothing wrong.
func (w *world) readOnce(ctx context.Context, p *pod, tokens []string) {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	for _, key := range w.keys {
		sent := time.Now()
		if n, err := p.cache.Get(ctx, key); err == nil {
			w.ledger.read(p.name, key, n, sent)
		}
	}
	for _, token := range tokens {
		sent := time.Now()
		_, err := p.sessions.Get(ctx, token)
		if err == nil || errors.Is(err, sessionstore.ErrNoSession) {
			w.ledger.session(p.name, token, err == nil, sent)
		}
	}
}

// write writes every key once, each through a pod in turn.
func (w *world) write() {
	w.t.Helper()
	for i, key := range w.keys {
		n := w.last.Add(1)
		w.eventually(func() bool { return w.pods[i%len(w.pods)].write(w.t.Context(), key, n) == nil }, "write of %s", key)
		w.ledger.committed(key, n, time.Now())
	}
}

// login creates sessions, one through each pod, and has all pods read them.
func (w *world) login(user string, beyond bool) (tokens []string) {
	w.t.Helper()
	ctx := w.t.Context()
	for _, p := range w.pods {
		login, err := p.sessions.BeginLogin(ctx, user+" of "+p.name)
		require.NoError(w.t, err)
		token, _, err := p.sessions.Create(ctx, login, 1, nil)
		require.NoError(w.t, err)
		w.ledger.loggedIn(token, beyond)
		tokens = append(tokens, token)
	}
	for _, p := range w.pods {
		for _, token := range tokens {
			_, err := p.sessions.Get(ctx, token)
			require.NoError(w.t, err)
		}
	}
	return tokens
}

// take acquires and releases each of some leases through a pod.
func (w *world) take(p *pod) {
	w.t.Helper()
	for _, key := range []string{"lease-a", "lease-b", "lease-c"} {
		var lease *lock.Lease
		w.eventually(func() (ok bool) {
			var err error
			lease, err = p.locks.TryAcquire(w.t.Context(), key)
			return err == nil
		}, "%s acquires %s", p.name, key)
		w.ledger.granted(p.name, key, lease.Token())
		w.eventually(func() bool { return lease.Release(w.t.Context()) == nil || lease.Err() != nil }, "%s releases %s", p.name, key)
	}
}

// work is what is done before the recovery point and survives.
func (w *world) work() {
	w.t.Helper()
	w.write()
	w.kept = append(w.kept, w.login("kept", false)...)
	w.revoked = append(w.revoked, w.login("revoked", false)...)
	for _, p := range w.pods {
		w.take(p)
	}
	w.before = w.hold("held before")
	w.write()
}

// revoke ends the sessions that have to stay ended, each through another pod than it was created by.
func (w *world) revoke() {
	w.t.Helper()
	for i, token := range w.revoked {
		_, err := w.pods[(i+1)%len(w.pods)].sessions.Revoke(w.t.Context(), token)
		require.NoError(w.t, err)
		w.ledger.over(token, time.Now())
	}
}

func (w *world) hold(key string) *lock.Lease {
	w.t.Helper()
	lease, err := w.pods[0].locks.TryAcquire(w.t.Context(), key)
	require.NoError(w.t, err)
	w.ledger.granted(w.pods[0].name, key, lease.Token())
	return lease
}

// beyond is what is done after the recovery point.
func (w *world) beyond() {
	w.t.Helper()
	w.write()
	w.lost = w.login("lost", true)
	// A sequence is logged 32 values ahead, so a server that has lost fewer tokens than that grants larger ones by luck.
	for begin := w.ledger.grants(); w.ledger.grants() < begin+3*32; {
		for _, p := range w.pods {
			w.take(p)
		}
	}
	w.held = w.hold("held beyond")
	w.write()
	for _, p := range w.pods { // all have in memory what is to be lost
		w.readOnce(w.t.Context(), p, w.lost)
	}
}

// note remembers in which epoch each pod is, and how often it was reset.
func (w *world) note() {
	for _, p := range w.pods {
		w.known[p.name] = p.bus.Stats().Epoch
	}
}

// truth reads a database past all pods, after a recovery that went back in time at a moment: what is not there is lost.
func (w *world) truth(dsn string, at time.Time) (lost int) {
	w.t.Helper()
	w.writing.Lock() // no write is under way
	defer w.writing.Unlock()
	ctx := w.t.Context()
	conn, err := pgx.Connect(ctx, dsn)
	require.NoError(w.t, err)
	defer func() { _ = conn.Close(ctx) }()

	last := w.last.Load()
	for _, key := range w.keys {
		var n int64
		require.NoError(w.t, conn.QueryRow(ctx, "SELECT version FROM item WHERE key = $1", key).Scan(&n))
		if w.ledger.newest(key) > n {
			lost++
		}
		w.ledger.rewound(key, n, last, at)
	}
	return lost
}

// fate finds out which of the sessions that were created after the recovery point exist.
func (w *world) fate(p *pod, at time.Time) (lost int) {
	w.t.Helper()
	for _, token := range w.lost {
		var err error
		w.eventually(func() bool {
			_, err = p.sessions.GetFresh(w.t.Context(), token)
			return err == nil || errors.Is(err, sessionstore.ErrNoSession)
		}, "the fate of a session")
		if err == nil {
			w.ledger.survived(token)
			continue
		}
		w.ledger.over(token, at)
		lost++
	}
	return lost
}

// settled waits until all pods are in sync, in one epoch, which is another than before.
func (w *world) settled() {
	w.t.Helper()
	w.eventually(func() bool {
		epoch := w.pods[0].bus.Stats().Epoch
		for _, p := range w.pods {
			s := p.bus.Stats()
			if s.State != bus.Live || !p.bus.Fresh() || s.Epoch != epoch || s.Epoch == w.known[p.name] {
				return false
			}
		}
		return true
	}, "all pods in sync in one new epoch")
	for _, p := range w.pods {
		require.Contains(w.t, []bus.Reason{bus.ReasonEpoch, bus.ReasonStart}, p.bus.Stats().LastReset, p.name)
	}
}

// allLive reports whether all pods are in sync.
func (w *world) allLive() bool {
	return !slices.ContainsFunc(w.pods, func(p *pod) bool { return p.bus.State() != bus.Live || !p.bus.Fresh() })
}

// restOfReads lets the readers go on for longer than the bound: what a pod still holds that is wrong is beyond it by then.
func (w *world) restOfReads() { sleep(w.t.Context(), 2*staleAfter) }

// delivered has each pod publish, and checks that every pod receives it.
func (w *world) delivered(round string) {
	w.t.Helper()
	for _, from := range w.pods {
		key := fmt.Sprintf("%s from %s", round, from.name)
		w.eventually(func() bool {
			_, err := from.bus.Publish(w.t.Context(), bus.Event{Topic: topic, Keys: []string{key}})
			return err == nil
		}, "%s publishes", from.name)
		for _, to := range w.pods {
			got := w.within(func() bool { return to.heard.has(key) })
			w.ledger.look(missing, !got, "%s did not receive the event of %s", to.name, from.name)
			if !got {
				return // the wait for each of the others would be as long
			}
		}
	}
}

// leases checks what has become of the leases that were held. A lost one is not renewed, and its owner is told.
func (w *world) leases(fresh *pod) {
	w.t.Helper()
	ctx := w.t.Context()
	if w.held != nil {
		told := w.within(func() bool { return errors.Is(w.held.Err(), lock.ErrLost) })
		w.ledger.look(kept, !told, "the owner of a lost lease is not told")
		guarded := w.guard(w.held)
		w.ledger.look(kept, guarded == nil, "a transaction guarded by a lost lease committed")
		w.held = nil
	}

	// One from before may have survived a short outage. Then it is as good as it was.
	if w.before.Err() == nil {
		err := w.guard(w.before)
		w.ledger.look(kept, err != nil && w.before.Err() == nil, "a lease that its owner relies on guards nothing: %v", err)
		w.eventually(func() bool { return w.before.Release(ctx) == nil || w.before.Err() != nil }, "release")
	}
	lease, err := fresh.locks.Acquire(ctx, "held before")
	require.NoError(w.t, err)
	w.ledger.look(kept, w.before.Err() == nil, "a lease was granted that its owner relies on")
	w.ledger.granted(fresh.name, "held before", lease.Token())
	w.eventually(func() bool { return lease.Release(ctx) == nil || lease.Err() != nil }, "release")
}

// guard commits a transaction that a lease guards.
func (w *world) guard(lease *lock.Lease) error {
	ctx := w.t.Context()
	return pgx.BeginFunc(ctx, w.pods[0].pool, func(tx pgx.Tx) error {
		if err := lease.Guard(ctx, tx); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, "INSERT INTO guarded VALUES ($1) ON CONFLICT DO NOTHING", lease.Token())
		return err
	})
}

// after checks everything after a recovery, by the pods from before and a new one.
func (w *world) after(name string) *pod {
	w.t.Helper()
	fresh := w.makes("new after " + name)
	w.take(fresh) // first: it has seen no token, and cannot notice by itself that they went back
	w.pods = append(w.pods, fresh)
	for _, p := range w.pods {
		w.take(p)
	}

	w.delivered(name)
	for range 3 {
		w.write()
	}
	for _, p := range w.pods {
		w.readOnce(w.t.Context(), p, slices.Concat(w.kept, w.revoked, w.lost))
		for _, token := range w.revoked { // neither in memory nor in the database
			_, err := p.sessions.GetFresh(w.t.Context(), token)
			w.ledger.look(back, !errors.Is(err, sessionstore.ErrNoSession), "%s finds a revoked session in the database: %v", p.name, err)
		}
	}
	return fresh
}

// conclude requires that nothing was wrong and that everything was looked at, and prints the recovery's line.
func (w *world) conclude(name, what string, kinds ...kind) {
	w.t.Helper()
	checked, broken := w.ledger.result()
	require.Empty(w.t, broken)
	for _, k := range kinds {
		require.Positive(w.t, checked[k], "never looked at: %s", k)
	}
	fmt.Printf("RECOVERY %s: %s; %d reads within the bound, %d looks at ended sessions and %d at valid ones, %d tokens grew, %d events delivered, %d looks at lost leases\n",
		name, what, checked[stale], checked[back], checked[refused], checked[went], checked[missing], checked[kept])
}

// everyKind is what a recovery that loses commits looks at.
var everyKind = slices.DeleteFunc(slices.Clone(allKinds), func(k kind) bool { return k == undone })

// eventually waits until a condition holds.
func (w *world) eventually(condition func() bool, message string, args ...any) {
	w.t.Helper()
	require.Eventually(w.t, condition, patience, 10*time.Millisecond, append([]any{message}, args...)...)
}

// within waits for a condition, and returns whether it came to hold.
func (w *world) within(condition func() bool) bool {
	most := patience
	if w.impatient != 0 {
		most = w.impatient
	}
	for end := time.Now().Add(most); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if condition() {
			return true
		}
	}
	return condition()
}
