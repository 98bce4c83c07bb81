package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// load is what happens all the while: writers, readers, confirmations, and the oracle's own look at the database.
type load struct {
	s       *scene
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	gate      sync.RWMutex  // held by every write, and against them while they are to pause
	confirms  chan struct{} // so many at once
	written   atomic.Int64
	failed    atomic.Int64
	unsure    atomic.Int64 // confirmations that did not return nil
	confirmed atomic.Int64

	mu     sync.Mutex
	bad    time.Time // when a pod was last seen not to be where it belongs
	looked time.Time // when the last look at them began
}

const (
	readEvery     = 4 * time.Millisecond // of one pod among three
	maxUnanswered = 300                  // reads of one pod under way: a pod that is stopped answers them when it goes on
	confirmNth    = 4
	maxWrites     = 4 // of one pod under way
	// writerPatience is longer than any write takes on a pod that is well.
	writerPatience = 200 * time.Millisecond
	lookEvery      = 40 * time.Millisecond
)

// start begins the load. Each key has one writer.
func (s *scene) start(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	l := &load{s: s, ctx: ctx, cancel: cancel, confirms: make(chan struct{}, 8)}
	s.mu.Lock()

	s.load = l
	for _, m := range s.members {
		l.read(m)
	}

	s.mu.Unlock()

	const writers = 4
	for w := range min(writers, s.keys) {
		l.running.Go(func() { l.write(w, writers) })
	}

	l.running.Go(l.look)
	l.running.Go(l.watch)
}

// stop ends all of it and returns when it has ended.
func (l *load) stop() {
	l.cancel()
	l.running.Wait()
}

// hush makes the writers pause and returns when no write is under way; loud lets them go on.
func (l *load) hush() { l.gate.Lock() }

func (l *load) loud() { l.gate.Unlock() }

// hot is how many keys take most of the writes. The others are written so rarely that nothing soon covers up what was
// missed.
const hot = 8

// write is one writer: it writes its keys through every path and every pod.
func (l *load) write(first, step int) {
	for pause(l.ctx, l.s.writing+rand.N(l.s.writing)) == nil {
		pods := l.s.pods()
		if len(pods) == 0 || !l.gate.TryRLock() {
			continue
		}

		keys := l.s.keys - l.s.reserved
		if rand.N(10) < 7 {
			keys = min(hot, keys)
		}

		w := Write{
			Path: l.s.paths[rand.N(len(l.s.paths))], Slow: l.s.slow,
			Key: first + step*rand.N((keys-first+step-1)/step),
		}
		l.begin(pods[rand.N(len(pods))], w)
	}
}

// begin begins a write and waits for it, but not for long: a pod that hangs does not keep its writers from the others.
// The gate is released when it has ended.
func (l *load) begin(m *member, w Write) {
	if m.writes.Add(1) > maxWrites {
		m.writes.Add(-1)
		l.gate.RUnlock()
		return
	}

	done := make(chan struct{})
	l.running.Go(func() {
		defer close(done)
		defer l.gate.RUnlock()
		defer m.writes.Add(-1)
		l.one(m, w)
	})

	t := time.NewTimer(writerPatience)
	defer t.Stop()

	select {
	case <-done:
	case <-t.C:
	}
}

// one writes once. If there is no answer it may still happen, and then the oracle sees it in the database.
func (l *load) one(m *member, w Write) {
	w.Version = l.s.version.Add(1)
	ctx, cancel := context.WithTimeout(l.ctx, writeTimeout+200*time.Millisecond)
	defer cancel()

	receipt := new(string)
	if err := m.call(ctx, "Write", w, receipt); err != nil {
		l.failed.Add(1)
		if l.s.options.verbose {
			fmt.Fprintf(os.Stderr, "%s: write by %s: %v\n", m.cfg.Name, w.Path, err)
		}
		return
	}

	l.s.oracle.committed(w.Key, w.Version, time.Now())
	l.written.Add(1)

	if *receipt != "" && rand.N(confirmNth) == 0 {
		l.confirm(m, w, *receipt)
	}
}

// confirm has some pod confirm an event, while the writer goes on.
func (l *load) confirm(writer *member, w Write, receipt string) {
	pods := l.s.pods()
	if len(pods) == 0 {
		return
	}

	select {
	case l.confirms <- struct{}{}:
	default:
		return
	}

	m := pods[rand.N(len(pods))]
	l.running.Go(func() {
		defer func() { <-l.confirms }()

		ctx, cancel := context.WithTimeout(l.ctx, l.s.timing.Lease+3*time.Second)
		defer cancel()

		if err := m.call(ctx, "Confirm", receipt, new(int)); err != nil {
			l.unsure.Add(1)
			return
		}

		l.s.oracle.confirmedBy(m.cfg.Name, writer.cfg.Name+" through "+w.Path, w.Key, w.Version, time.Now())
		l.confirmed.Add(1)
	})
}

// read begins to read from a pod. A pod that does not answer is asked on: the moment in which it goes on is the one
// that counts.
func (l *load) read(m *member) {
	l.running.Go(func() {
		var unanswered atomic.Int64
		every := l.s.reading * time.Duration(max(3, l.s.plan.pods)) / 3 // all pods together
		for l.ctx.Err() == nil && !m.isDead() {
			if pause(l.ctx, every) != nil {
				return
			}
			if unanswered.Load() >= maxUnanswered {
				continue
			}

			unanswered.Add(1)

			l.running.Go(func() {
				defer unanswered.Add(-1)

				view, sent := new(View), time.Now()
				if m.call(l.ctx, "Read", 0, view) != nil {
					return
				}

				for key, version := range view.Versions {
					if version != absent {
						l.s.oracle.read(m.cfg.Name, key, version, sent)
					}
				}
			})
		}
	})
}

// look is the oracle's own: it reads all versions from the database, so that commits whose answer was lost are known.
func (l *load) look() {
	for pause(l.ctx, lookEvery) == nil {
		ctx, cancel := context.WithTimeout(l.ctx, 2*time.Second)
		dsn := l.s.truthDSN()
		conn, err := pgx.Connect(ctx, dsn)
		cancel()

		if err != nil {
			continue
		}

		for pause(l.ctx, lookEvery) == nil && dsn == l.s.truthDSN() {
			if l.lookOnce(conn) != nil {
				break
			}
		}

		disconnect(conn)
	}
}

func (l *load) lookOnce(conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(l.ctx, time.Second)
	defer cancel()
	versions, err := readVersions(ctx, conn)
	if err != nil {
		return err
	}
	now := time.Now()
	for key, version := range versions {
		l.s.oracle.committed(key, version, now)
	}
	return nil
}

func readVersions(ctx context.Context, conn *pgx.Conn) (map[int]int64, error) {
	rows, err := conn.Query(ctx, "SELECT key, version FROM item")
	if err != nil {
		return nil, err
	}
	versions := map[int]int64{}
	var key int
	var version int64
	_, err = pgx.ForEachRow(rows, []any{&key, &version}, func() error {
		versions[key] = version
		return nil
	})
	return versions, err
}
