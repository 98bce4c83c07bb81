package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// round is one cluster's life in a soak: from an empty database, through faults, to a verdict.
type round struct {
	Number   int      `json:"number"`
	Seed     uint64   `json:"seed"`
	Schedule string   `json:"schedule"`
	Seconds  float64  `json:"seconds"`
	Faults   int      `json:"faults"`
	Pairs    int      `json:"pairs"`
	Cut      []string `json:"cut_short,omitempty"` // faults that the other of the pair kept from coming about as they should
	counts
	Proofs []string `json:"proofs,omitempty"`
	Error  string   `json:"error,omitempty"`

	played  schedule
	brought map[string]int
}

// counts are what a round checked and found.
type counts struct {
	Caches   boardTally `json:"caches"`
	Outside  boardTally `json:"caches_asked_from_outside"`
	Lost     int64      `json:"lost"`
	Writes   int64      `json:"writes"`
	Confirms int64      `json:"confirms"`
	// LateMicroseconds is by how much later than at the bound a stale read was sure to show, at the most.
	LateMicroseconds int64 `json:"bound_checked_late_us"`

	SessionAnswers int64                   `json:"session_answers"`
	Sessions       map[string]sessionCount `json:"sessions"`

	LeaseOperations int64 `json:"lease_operations"`
	LeaseGrants     int64 `json:"lease_grants"`
	GuardedWrites   int64 `json:"guarded_writes"`
	DoubleWrites    int64 `json:"double_guarded_writes"` // lost, out of order, or under a lease that another had
	Overlaps        int64 `json:"lease_overlaps"`
}

// sessionCount is how often something was found, of how many times that it could have been.
type sessionCount struct {
	Found int64 `json:"found"`
	Of    int64 `json:"of"`
}

func (c *counts) add(d counts) {
	c.Caches.add(d.Caches)
	c.Outside.add(d.Outside)
	c.Lost += d.Lost
	c.Writes += d.Writes
	c.Confirms += d.Confirms
	c.LateMicroseconds = max(c.LateMicroseconds, d.LateMicroseconds)
	c.SessionAnswers += d.SessionAnswers
	if c.Sessions == nil {
		c.Sessions = map[string]sessionCount{}
	}

	for name, n := range d.Sessions {
		sum := c.Sessions[name]
		c.Sessions[name] = sessionCount{sum.Found + n.Found, sum.Of + n.Of}
	}

	c.LeaseOperations += d.LeaseOperations
	c.LeaseGrants += d.LeaseGrants
	c.GuardedWrites += d.GuardedWrites
	c.DoubleWrites += d.DoubleWrites
	c.Overlaps += d.Overlaps
}

// violations is how often a promise was broken.
func (c *counts) violations() int64 {
	n := c.Caches.Beyond + c.Caches.FalseConfirms + c.Outside.Beyond + c.Outside.FalseConfirms + c.Lost + c.DoubleWrites + c.Overlaps
	for _, s := range c.Sessions {
		n += s.Found
	}
	return n
}

const (
	soakKeys     = 512
	soakCalm     = time.Second // between two steps, at least
	soakPatience = 90 * time.Second
	soakTurnover = 8 * time.Second
	soakSessions = 1500 // asked about in the end
)

// unhurriedly are the times of a soak. They are longer than those of the rows: everything goes on at once, and readers take
// what the processors have left.
var unhurriedly = timing{
	StaleAfter: 1500 * time.Millisecond, Beat: 300 * time.Millisecond, Probe: 700 * time.Millisecond,
	Sweep: 40 * time.Millisecond, Lease: 2 * time.Second,
}

// soakFaultDuration is how long a fault of a soak lasts if nothing else is said: more than twice StaleAfter.
const soakFaultDuration = 3200 * time.Millisecond

// plan is what a round stands on.
func (k *soak) plan(b *board) plan {
	p := plan{
		proxied: true, keys: soakKeys, reserved: 1, reading: 100 * time.Millisecond, patience: soakPatience, timing: unhurriedly,
		settings: map[string]string{"max_connections": "300"},
	}
	if k.redis {
		p.tier = redisTier
	}

	weak := k.weakened
	if weak != nil {
		p.loads, p.slow = weak.plan.loads, weak.plan.slow
	}

	p.tune = func(i int, c *podConfig) {
		c.Conns, c.Keep, c.Dial = sessionConns+lockClients+4, 2*time.Second, 800*time.Millisecond
		c.Session = &sessionConfig{Size: scarce}
		c.Lock = &lockConfig{TTL: quickLock.ttl}
		c.Check = &checkerConfig{Board: b.path, Slot: i % boardSlots, Rest: k.rest}

		if weak == nil {
			return
		}

		c.Guards, c.CacheGuards, c.Session.Guards, c.Lock.Unguarded = weak.guards, weak.caches, weak.sessions, weak.unguarded
		c.Lock.Guards = weak.locks
		if weak.plan.tune != nil {
			weak.plan.tune(i, c)
		}
	}
	return p
}

// play plays a round. next gives one step after the other until there is none.
func (k *soak) play(ctx context.Context, number int, seed uint64, next func(time.Duration) (step, bool)) (r round) {
	r = round{Number: number, Seed: seed, brought: map[string]int{}}
	begun := time.Now()
	b, err := newBoard(soakKeys)
	if err != nil {
		r.Error = err.Error()
		return r
	}
	defer func() {
		r.Schedule, r.Seconds = r.played.String(), time.Since(begun).Seconds()
		if err := b.remove(); err != nil && r.Error == "" {
			r.Error = err.Error()
		}
	}()

	locks := quickLock
	locks.sql, locks.turnover, locks.turns = true, soakTurnover, int(2*k.length/soakTurnover)+8
	clock := &boardClock{board: b, bound: unhurriedly.StaleAfter}
	p := k.plan(b)
	p.before = func(ctx context.Context, s *scene) error {
		return errors.Join(locks.makeTables(ctx, s), makeSessionTables(ctx, s))
	}
	s, err := newScene(ctx, p, k.options)
	if err != nil {
		r.Error = fmt.Sprintf("start: %v", err)
		return r
	}
	s.oracle.board = clock
	k.watching(b)
	ticking, stop := context.WithCancel(ctx)
	var ticker sync.WaitGroup
	ticker.Go(func() { clock.run(ticking) })

	err = k.under(ctx, s, locks, &r, next)
	r.Caches, r.LateMicroseconds = b.tally(), clock.latency().Microseconds()
	r.Proofs = append(b.proofs(), r.Proofs...)
	k.watched(r.Caches)
	err = errors.Join(err, s.close())
	stop()
	ticker.Wait()
	if ctx.Err() == nil && err != nil {
		r.Error = err.Error()
	}
	return r
}

// under puts a scene under load, plays the steps and judges what came of it.
func (k *soak) under(ctx context.Context, s *scene, locks lockPlan, r *round, next func(time.Duration) (step, bool)) error {
	s.start(ctx)
	s.locks = s.startLocks(ctx, locks)
	s.keeping = s.startSessions(ctx, sessionPlan{
		plant: true, forget: true, breach: true, every: 25 * time.Millisecond, look: 200 * time.Millisecond, most: soakSessions,
	}, newEar())
	s.mu.Lock()
	s.joined = func(m *member) { // startPod calls it under the same lock
		s.locks.drive(m)
		s.keeping.ask(m)
	}
	s.mu.Unlock()
	// Confirmations go by positions only after a pod lease.
	err := pause(ctx, s.timing.Lease+200*time.Millisecond)
	for begun := time.Now(); err == nil; {
		st, ok := next(time.Since(begun))
		if !ok {
			break
		}
		err = k.strike(ctx, s, st, r)
	}

	s.locks.stop()
	if err == nil {
		err = k.settle(ctx, s, r)
	}
	s.keeping.stop()
	return errors.Join(err, k.judge(ctx, s, locks, r))
}

// strike brings a step's faults about, and waits until all pods are in sync again.
func (k *soak) strike(ctx context.Context, s *scene, st step, r *round) error {
	r.played = append(r.played, st)
	k.striking(st)
	errs := make([]error, len(st))
	var both sync.WaitGroup
	for i, hit := range st {
		both.Go(func() {
			if errs[i] = pause(ctx, hit.after); errs[i] == nil {
				errs[i] = hit.fault.inject(ctx, s)
			}
		})
	}
	both.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}

	r.Faults += len(st)
	if len(st) > 1 {
		r.Pairs++
	}
	for i, hit := range st {
		r.brought[hit.fault.name]++
		if errs[i] == nil {
			continue
		}
		if len(st) == 1 {
			return fmt.Errorf("%s: %w", hit.fault.name, errs[i])
		}
		r.Cut = append(r.Cut, fmt.Sprintf("%s in %s: %v", hit.fault.name, st, errs[i]))
	}
	if err := s.mend(ctx); err != nil {
		return fmt.Errorf("after %s: %w", st, err)
	}
	if err := s.awaitLive(ctx); err != nil {
		return fmt.Errorf("after %s: %w", st, err)
	}
	return pause(ctx, soakCalm)
}

// mend ends what a fault that was cut short has left.
func (s *scene) mend(ctx context.Context) error {
	for _, l := range s.links {
		if l != nil {
			l.heal(ctx)
		}
	}
	for _, m := range s.pods() {
		m.thaw()
	}
	err := s.server.Start(ctx) // one that runs stays as it is
	if s.redis != nil {
		err = errors.Join(err, s.redis.mend(ctx))
	}
	return err
}

// settle lets everything come to rest, and asks all pods about all sessions.
func (k *soak) settle(ctx context.Context, s *scene, r *round) error {
	for _, m := range s.pods() {
		calling, cancel := context.WithTimeout(ctx, answerPatience)
		err := m.call(calling, "Quiet", 0, new(int))
		cancel()
		if err != nil {
			return fmt.Errorf("%s: %w", m.cfg.Name, err)
		}
	}

	if _, err := s.keeping.letInAgain(ctx, time.Now()); err != nil {
		return err
	}
	if err := s.keeping.last(ctx); err != nil {
		return err
	}

	s.load.hush()
	defer s.load.loud()

	lost, what := s.lost(ctx)
	r.Lost, r.Proofs = int64(lost), append(r.Proofs, what...)
	return nil
}

// judge counts what the oracles have found.
func (k *soak) judge(ctx context.Context, s *scene, locks lockPlan, r *round) error {
	s.load.cancel()
	t, proofs := s.oracle.result()
	r.Outside = boardTally{Reads: t.reads, Within: t.stale, Beyond: t.beyond, FalseConfirms: t.falseConfirms}
	r.Writes, r.Confirms = s.load.written.Load(), s.load.confirmed.Load()
	r.Proofs = append(r.Proofs, proofs...)

	sessions := result{gate: &gateResult{}}
	s.keeping.gate.finish()
	sessions.gate.tally, sessions.proofs = s.keeping.gate.result()
	r.SessionAnswers, r.Sessions = sessions.gate.tally.answers, sessions.gate.named()
	r.Proofs = append(r.Proofs, sessions.proofs...)

	leases := result{lock: &lockResult{bound: overlap{context: contextLag}}}
	if err := s.judge(context.WithoutCancel(ctx), locks, &leases); err != nil {
		return err
	}
	l := leases.lock
	r.LeaseOperations, r.LeaseGrants, r.GuardedWrites = int64(l.checked), int64(l.granted), int64(l.writes)
	r.DoubleWrites = int64(l.disorder + l.lost + l.order)
	r.Overlaps = l.violations() - r.DoubleWrites
	r.Proofs = append(r.Proofs, leases.proofs...)
	return nil
}

// named are the counts by what they are called, but for leaks: nobody listens here.
func (g *gateResult) named() map[string]sessionCount {
	all := map[string]sessionCount{}
	for i, c := range g.tally.counts() {
		if name := gateShape.names[3+i]; name != "leaks" {
			all[name] = sessionCount{c.bad, c.of}
		}
	}
	return all
}
