package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// lockLoad has clients in every pod take leases, add to the sets that they protect, hold them beyond their TTL, and give
// them up. This process drives them all and alone keeps the time.
type lockLoad struct {
	s       *scene
	plan    lockPlan
	begun   time.Time
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	element atomic.Int64
	clients atomic.Int64

	mu       sync.Mutex
	together []string // what those who share a lease saw of others
	history  []lockOp
	alive    []lockOp // leases whose context had not ended when they were asked
	granted  map[string]time.Duration
}

const (
	lockClients = 4 // in each pod
	lockThink   = 120 * time.Millisecond
	lockWait    = 1500 * time.Millisecond
	longestHold = 2 * time.Second // and a quarter: however long the TTL
)

func (s *scene) startLocks(ctx context.Context, plan lockPlan) *lockLoad {
	l := &lockLoad{s: s, plan: plan, begun: time.Now(), granted: map[string]time.Duration{}}
	l.ctx, l.cancel = context.WithCancel(ctx)
	for _, m := range s.pods() {
		l.drive(m)
	}
	return l
}

// drive lets a pod's clients work until the load stops or the pod is gone.
func (l *lockLoad) drive(m *member) {
	for range lockClients {
		id := int(l.clients.Add(1))
		l.wg.Go(func() {
			for l.ctx.Err() == nil && !m.isDead() {
				l.work(m, id)
			}
		})
	}
}

// stop lets everybody finish what they are at.
func (l *lockLoad) stop() {
	l.cancel()
	l.wg.Wait()
}

// resume lets everybody work again after a stop.
func (l *lockLoad) resume(ctx context.Context) {
	l.ctx, l.cancel = context.WithCancel(ctx)
	for _, m := range l.s.pods() {
		l.drive(m)
	}
}

func (l *lockLoad) now() time.Duration { return time.Since(l.begun) }

func (l *lockLoad) add(op lockOp) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.history = append(l.history, op)
	if op.kind == lockAcquire && op.outcome == Done {
		l.granted[op.key] = max(l.granted[op.key], op.answer)
	}
}

// answerPatience is more than a stopped pod is stopped for.
const answerPatience = 20 * time.Second

// call has a pod do something. An answer that does not come leaves the operation open.
func (l *lockLoad) call(m *member, method string, in, out any, op *lockOp) bool {
	ctx, cancel := context.WithTimeout(context.Background(), answerPatience) // what has begun is ended in order
	defer cancel()
	op.call = l.now()
	err := m.call(ctx, method, in, out)
	if err != nil {
		op.outcome = Unknown
		l.add(*op)
		// Do not hurry: a pod that is gone answers at once.
		_ = pause(l.ctx, 5*time.Millisecond)
		return false
	}
	op.answer = l.now()
	return true
}

// first is the first of the keys that are in use now.
func (l *lockLoad) first() int {
	if l.plan.turnover == 0 {
		return 0
	}
	return min(int(l.now()/l.plan.turnover), l.plan.turns) * l.plan.keys
}

// work is one time of wanting a lease.
func (l *lockLoad) work(m *member, client int) {
	n := rand.IntN(l.plan.keys)
	key, how := fmt.Sprintf("set %d", l.first()+n), l.plan.choose(n)
	token, ok := l.acquire(m, client, key, how)
	if !ok {
		_ = pause(l.ctx, rand.N(10*time.Millisecond))
		return
	}

	steps := 1 + rand.IntN(3)

	if rand.IntN(12) == 0 { // longer than the TTL: renewals have to keep it
		long := min(l.plan.ttl, longestHold)
		until := l.now() + long*5/4
		for l.now() < until && l.ctx.Err() == nil {
			_ = pause(l.ctx, long/8)
			if !l.claim(m, client, key, token, how) {
				break
			}
		}
	}

	for range steps {
		work := l.addTo
		if how != lockAlone {
			work = l.use
		}
		if l.ctx.Err() != nil {
			break
		}

		worked := work(m, client, key, token, how)

		if !l.claim(m, client, key, token, how) {
			break
		}

		if !worked {
			l.linger(m, client, key, token, how)
			break
		}
	}

	op := lockOp{kind: lockRelease, key: key, client: client, token: token, how: how}
	if l.call(m, "Release", token, &op.outcome, &op) {
		l.add(op)
	}
}

// linger asks for some time whether a pod that cannot work under a lease relies on it all the same.
func (l *lockLoad) linger(m *member, client int, key string, token int64, how lockHow) {
	for end := l.now() + lockWait; l.now() < end && l.ctx.Err() == nil; {
		if pause(l.ctx, lockWait/10) != nil || !l.claim(m, client, key, token, how) {
			return
		}
	}
}

func (l *lockLoad) acquire(m *member, client int, key string, how lockHow) (token int64, ok bool) {
	w := Wish{Key: key, How: how, SQL: l.plan.sql && client%2 == 0}
	if rand.IntN(3) > 0 {
		w.For = lockWait
	}

	op := lockOp{kind: lockAcquire, key: key, client: client, how: how}
	var c Claim
	if !l.call(m, "Acquire", w, &c, &op) {
		return 0, false
	}

	switch {
	case c.Token != 0:
		op.outcome, op.token, op.valid = Done, c.Token, c.ValidFor
	case c.Holder != 0:
		op.outcome, op.kind, op.token = Done, lockHeld, c.Holder
	default:
		op.outcome = Refused
	}

	l.add(op)
	return c.Token, c.Token != 0
}

// claim asks whether the pod relies on a lease.
func (l *lockLoad) claim(m *member, client int, key string, token int64, how lockHow) bool {
	op := lockOp{kind: lockClaim, key: key, client: client, token: token, how: how}
	var c Claim
	if !l.call(m, "Claim", token, &c, &op) {
		return false
	}

	op.outcome, op.valid = Refused, c.ValidFor
	if c.ValidFor > 0 {
		op.outcome = Done
	}

	l.add(op)

	if c.Alive {
		l.mu.Lock()
		l.alive = append(l.alive, op)
		l.mu.Unlock()
	}

	return c.ValidFor > 0
}

func (l *lockLoad) addTo(m *member, client int, key string, token int64, _ lockHow) bool {
	op := lockOp{kind: lockAdd, key: key, client: client, token: token, element: l.element.Add(1)}
	a := Addition{Key: key, Token: token, Element: op.element, Think: lockThink/3 + rand.N(lockThink)}
	var done Added
	if !l.call(m, "Add", a, &done, &op) {
		return false
	}
	op.outcome = done.Outcome
	op.call += done.After // the guard and all that follows happened after that: the pod's own pauses are no excuse
	l.add(op)
	return op.outcome == Done
}

// use has a pod that shares a lease look at what nobody may change meanwhile.
func (l *lockLoad) use(m *member, client int, key string, token int64, how lockHow) bool {
	op := lockOp{kind: lockAdd, key: key, client: client, token: token, how: how, element: l.element.Add(1)}
	u := Use{Key: key, Token: token, Element: op.element, How: how, Think: lockThink/3 + rand.N(lockThink)}
	var done Used
	if !l.call(m, "Use", u, &done, &op) {
		return false
	}

	op.outcome = done.Outcome
	op.call += done.After
	l.add(op)

	for what, bad := range map[string]bool{"changed under a guard": done.Torn, "guarded by too many at once": done.Crowded} {
		if bad {
			l.mu.Lock()
			l.together = append(l.together, fmt.Sprintf("%s was %s, of token %d (%s), at %v", key, what, token, how, op.answer.Round(time.Millisecond)))
			l.mu.Unlock()
		}
	}

	return op.outcome == Done
}

// grantedAgain waits until every key has been granted by a request that was answered after a time.
func (l *lockLoad) grantedAgain(ctx context.Context, from time.Duration) (time.Duration, error) {
	for {
		l.mu.Lock()
		missing, last := "", from
		for i := range l.plan.keys {
			key := fmt.Sprintf("set %d", i)
			if at := l.granted[key]; at <= from {
				missing = key
			}
		}

		l.mu.Unlock()

		if missing == "" {
			return l.now() - last, nil
		}
		if l.now() > from+livePatience {
			return 0, fmt.Errorf("%s is not granted any more", missing)
		}
		if err := pause(ctx, liveEvery); err != nil {
			return 0, err
		}
	}
}
