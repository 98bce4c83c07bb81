package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/lock"
)

// lockPlan is what a row about leases needs.
type lockPlan struct {
	keys      int
	ttl       time.Duration
	sql       bool // half of the clients use the SQL functions
	shares    bool // every other key is for readers and writers, the others are semaphores of lockPlaces
	takeover  time.Duration
	unguarded unguarded       // what a control switches off: these do without Guard
	guards    hook.LockGuards // and these, in the Locker
	// turnover is after how long all go over to other keys, so that no key's history gets too long to be judged; 0: never.
	turnover time.Duration
	turns    int // how often at most
	// lossy: the fault loses the last commits, with grants and writes among them. Then pods may rely on a lease for up
	// to its TTL after somebody else was granted it, and what was answered in the lossy time may be lost.
	lossy bool
}

// lockPlaces is how many may hold a semaphore.
const lockPlaces = 2

// choose is how somebody wants to hold the n-th key.
func (p lockPlan) choose(n int) lockHow {
	switch {
	case !p.shares:
		return lockAlone
	case n%2 == 0 && rand.IntN(3) > 0:
		return lockReaders
	case n%2 == 1 && rand.IntN(8) > 0:
		return lockPlaces
	}
	return lockAlone
}

// quickLock is a TTL that a fault of two seconds is longer than.
var quickLock = lockPlan{keys: 8, ttl: lock.MinTTL}

// lockResult is what came of a row about leases.
type lockResult struct {
	checked  int // operations
	granted  int
	unknown  int
	writes   int
	disorder int // keys whose history is none of a mutex, and tokens that went back
	lost     int // elements whose write had been committed, or answered
	order    int // writes of an older owner after one of a younger
	together int // of those who share a lease: beside one who has it alone, or more than there are places
	overlap  overlap
	bound    overlap // of it
}

func (l *lockResult) violations() int64 {
	n := l.disorder + l.lost + l.order + l.together
	if l.overlap.claim > l.bound.claim {
		n++
	}
	if l.overlap.context > l.bound.context {
		n++
	}
	return int64(n)
}

// contextLag is for how long a lease's context may outlast Err: its timer fires late in a process that was stopped.
const contextLag = time.Second

// runLock runs a row about leases.
func (f fault) runLock(ctx context.Context, o options) (r result) {
	r.name, r.lock = f.name, &lockResult{bound: overlap{context: contextLag}}
	o.tier = false // nothing of it is cached
	p, plan := f.plan, *f.lock
	tune := p.tune
	p.tune = func(i int, c *podConfig) {
		c.Conns = lockClients + 4
		c.Lock = &lockConfig{TTL: plan.ttl, Takeover: plan.takeover, Unguarded: plan.unguarded, Guards: plan.guards}
		if plan.shares {
			c.Lock.Idle = 2 * holdersStopped // transactions go on when who was stopped goes on
		}
		if tune != nil {
			tune(i, c)
		}
	}
	p.before = plan.makeTables
	r.on(ctx, p, o, func(s *scene) {
		s.locks = s.startLocks(ctx, plan)
		r.err = f.bring(ctx, s, &r)
		s.locks.stop()

		if err := s.judge(ctx, plan, &r); err != nil {
			r.err = errors.Join(r.err, err)
		}

		r.notes = append(s.notes, fmt.Sprintf("%d grants, %d writes, %d outcomes unknown; a pod relied on a lease for %v too long, a context lasted %v too long",
			r.lock.granted, r.lock.writes, r.lock.unknown, r.lock.overlap.claim, r.lock.overlap.context))
	})

	return r
}

// bring brings the fault about, and waits until every lease is granted again.
func (f fault) bring(ctx context.Context, s *scene, r *result) error {
	if err := pause(ctx, time.Second); err != nil {
		return err
	}
	if err := f.inject(ctx, s); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	again, err := s.locks.grantedAgain(ctx, s.locks.now())
	r.live = again
	return errors.Join(err, pause(ctx, 500*time.Millisecond))
}

func (p lockPlan) makeTables(ctx context.Context, s *scene) error {
	pool, err := pgxpool.New(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer pool.Close()
	if err := lock.Migrate(ctx, pool, &lock.MigrateConfig{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		return err
	}
	_, err = pool.Exec(ctx, `CREATE TABLE lockset (key text PRIMARY KEY, elements bigint[] NOT NULL DEFAULT '{}');
		CREATE TABLE lockwrite (element bigint PRIMARY KEY, key text NOT NULL, token bigint NOT NULL, shared boolean NOT NULL DEFAULT false);
		INSERT INTO lockset (key) SELECT 'set ' || i FROM generate_series(0, `+strconv.Itoa(p.keys*(p.turns+1)-1)+`) AS i;
		`+slotsOf(lockPlaces))
	return err
}

// judge checks all that was seen.
func (s *scene) judge(ctx context.Context, plan lockPlan, r *result) error {
	conn, err := pgx.Connect(ctx, s.truthDSN())
	if err != nil {
		return err
	}
	defer disconnect(conn)

	noted, err := readWrites(ctx, conn)
	if err != nil {
		return err
	}

	l := s.locks
	history := slices.Clone(l.history)
	for i, op := range history {
		if op.outcome != Done {
			if _, ok := noted[op.element]; op.kind == lockAdd && op.outcome == Unknown && ok {
				history[i].outcome, history[i].answer = Done, 0 // it did happen, at some time
			} else if op.outcome == Unknown {
				r.lock.unknown++
			}
			continue
		}

		if op.kind == lockAcquire {
			r.lock.granted++
		}

		if _, ok := noted[op.element]; op.kind == lockAdd && !ok && !s.mayBeLost(op) {
			r.lock.lost++
			r.proofs = append(r.proofs, fmt.Sprintf("element %d of %s was answered at %v and is nowhere", op.element, op.key, op.answer))
		}
	}

	r.lock.writes = len(noted)
	if plan.lossy {
		r.lock.bound = overlap{plan.ttl, plan.ttl + contextLag}
	}

	v := checkLocks(history, s.lostFrom)
	r.lock.checked, r.lock.disorder = v.operations, len(v.bad)
	r.proofs = append(r.proofs, v.bad...)
	r.lock.overlap = overlapOf(history, l.alive)
	sets, err := readSets(ctx, conn)
	if err != nil {
		return err
	}

	lost, order, proofs := checkSets(noted, sets)
	r.lock.lost += lost
	r.lock.order = order
	r.lock.together = len(l.together)
	r.proofs = append(append(r.proofs, proofs...), l.together...)
	r.proofs = r.proofs[:min(len(r.proofs), maxProofs)]
	if r.lock.checked == 0 || r.lock.writes == 0 {
		return errors.New("nothing was checked")
	}

	return nil
}

// mayBeLost reports whether a commit may have gone with the server that answered it.
func (s *scene) mayBeLost(op lockOp) bool { return op.answer > s.lossyFrom && op.call < s.lostFrom }

// noted is a write that was committed.
type noted struct {
	key    string
	token  int64
	shared bool // by one who shares the lease, and so in no set
}

func readWrites(ctx context.Context, conn *pgx.Conn) (map[int64]noted, error) {
	rows, err := conn.Query(ctx, "SELECT element, key, token, shared FROM lockwrite")
	if err != nil {
		return nil, err
	}
	all := map[int64]noted{}
	var element int64
	var n noted
	_, err = pgx.ForEachRow(rows, []any{&element, &n.key, &n.token, &n.shared}, func() error {
		all[element] = n
		return nil
	})
	return all, err
}

func readSets(ctx context.Context, conn *pgx.Conn) (map[string][]int64, error) {
	rows, err := conn.Query(ctx, "SELECT key, elements FROM lockset")
	if err != nil {
		return nil, err
	}
	sets := map[string][]int64{}
	var key string
	var elements []int64
	_, err = pgx.ForEachRow(rows, []any{&key, &elements}, func() error {
		sets[key], elements = elements, nil
		return nil
	})
	return sets, err
}

// checkSets: every element whose write was committed is in its set, and behind one of a younger owner there is none of
// an older.
func checkSets(all map[int64]noted, sets map[string][]int64) (lost, order int, proofs []string) {
	there := map[int64]bool{}
	for key, elements := range sets {
		var last int64
		for _, e := range elements {
			there[e] = true
			if t := all[e].token; t < last {
				order++
				proofs = append(proofs, fmt.Sprintf("%s: element %d by token %d after one by %d", key, e, t, last))
			} else {
				last = t
			}
		}
	}

	for e, n := range all {
		if !there[e] && !n.shared {
			lost++
			proofs = append(proofs, fmt.Sprintf("%s: element %d by token %d was committed and is lost", n.key, e, n.token))
		}
	}

	return lost, order, proofs
}
