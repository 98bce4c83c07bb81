package main

import (
	"cmp"
	"context"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// sessionLoad has clients log in, log out, write, rotate and change passwords, each step through some pod, while others
// ask all pods about tokens, good and bad. This process drives them all and alone keeps the time.
type sessionLoad struct {
	s       *scene
	gate    *gate
	ear     *ear
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
	quiet   atomic.Bool // nobody writes any more
	working atomic.Int64
	element atomic.Int64
	secret  atomic.Int64
	seed    string
	plan    sessionPlan
	fresh   int             // one in so many questions is put to the database
	done    [5]atomic.Int64 // how many of what succeeded, for people
	unknown atomic.Int64

	confirms chan struct{} // so many at once

	mu        sync.Mutex
	alive     []*ticket // that should be valid
	gone      []*ticket // that should not
	values    []string  // one-time values
	passwords int64
	answered  map[string]time.Time // when each pod last let somebody in
}

// What is counted for people.
const (
	didCreate = iota
	didSave
	didRotate
	didEnd
	didChange
)

const (
	sessionUsers   = 10
	clientEvery    = 6 * time.Millisecond
	breachEvery    = 400 * time.Millisecond
	clientMost     = 48 // at work
	askEvery       = 10 * time.Millisecond
	askTokens      = 20
	askFresh       = 12
	maxAlive       = 60
	maxGone        = 90
	longSession    = time.Hour
	takers         = 5
	unhurried      = 30 * time.Millisecond // at most, between the steps of a client
	sessionLateFor = 5                     // of so many logins one waits until the password was changed
)

func (s *scene) startSessions(ctx context.Context, p sessionPlan, e *ear) *sessionLoad {
	l := &sessionLoad{
		s: s, gate: newGate(s.timing.StaleAfter), ear: e, seed: uuid.NewString(), answered: map[string]time.Time{}, passwords: 1,
		plan: p, fresh: cmp.Or(p.fresh, askFresh), confirms: make(chan struct{}, 8),
	}
	l.ctx, l.cancel = context.WithCancel(ctx)
	for _, m := range s.pods() {
		l.ask(m)
	}

	l.wg.Go(l.clients)

	if p.breach {
		l.wg.Go(l.breaches)
	}

	l.wg.Go(l.look)
	l.wg.Go(func() { e.listen(l.ctx, s) })
	return l
}

// stop ends all of it and returns when it has ended.
func (l *sessionLoad) stop() {
	l.cancel()
	l.wg.Wait()
}

// clients starts one after the other; each does one thing.
func (l *sessionLoad) clients() {
	todo := []func(){
		l.login, l.login, l.login, l.login, l.guest, l.write, l.write, l.write, l.write, l.writeLate, l.writeGone, l.rotate, l.rotate, l.logout, l.logout,
		l.change, l.change, l.once, l.onceMore, l.plant,
	}
	if l.plan.plant {
		todo = append(todo, l.plant, l.plant, l.plant, l.plant, l.plant, l.plant)
	}
	if l.plan.forget || l.plan.breach {
		todo = append(todo, l.forget, l.forget, l.login, l.guest)
	}
	if l.plan.breach {
		todo = append(todo, l.loginThroughBreach)
	}

	slots := make(chan struct{}, clientMost)
	var wg sync.WaitGroup
	defer wg.Wait()

	every := cmp.Or(l.plan.every, clientEvery)
	for pause(l.ctx, every/2+rand.N(every)) == nil {
		if l.quiet.Load() {
			continue
		}

		select {
		case slots <- struct{}{}:
		default:
			continue
		}

		l.working.Add(1)

		wg.Go(func() {
			defer func() {
				l.working.Add(-1)
				<-slots
			}()
			todo[rand.IntN(len(todo))]()
		})
	}
}

// call has some pod do something, and answers when that was. A pod that hangs does not keep the clients from the others.
func (l *sessionLoad) call(method string, in, out any) (at span, ok bool) {
	m := l.pick()
	if m == nil {
		_ = pause(l.ctx, clientEvery)
		return span{}, false
	}
	defer m.writes.Add(-1)
	ctx, cancel := context.WithTimeout(l.ctx, writeTimeout+200*time.Millisecond)
	defer cancel()
	at.call = time.Now()
	err := m.call(ctx, method, in, out)
	at.answer = time.Now()
	return at, err == nil
}

func (l *sessionLoad) pick() *member {
	pods := l.s.pods()
	for _, i := range rand.Perm(len(pods)) {
		if pods[i].writes.Add(1) <= 2*maxWrites {
			return pods[i]
		}
		pods[i].writes.Add(-1)
	}
	return nil
}

func (l *sessionLoad) rest() { _ = pause(l.ctx, rand.N(unhurried)) }

// settle counts what came of something.
func (l *sessionLoad) settle(what int, o Outcome) {
	switch o {
	case Done:
		l.done[what].Add(1)
	case Unknown:
		l.unknown.Add(1)
	case Refused:
	}
}

func (l *sessionLoad) sheet() string {
	secret := "sheet-" + strconv.FormatInt(l.secret.Add(1), 10) + "-" + l.seed
	l.ear.secret(secret)
	return secret
}

func (l *sessionLoad) some(from *[]*ticket) *ticket {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(*from) == 0 {
		return nil
	}
	return (*from)[rand.IntN(len(*from))]
}

// keep has a ticket asked for. Those that are too many are left alone.
func (l *sessionLoad) keep(t *ticket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.alive = append(l.alive[max(0, len(l.alive)-maxAlive+1):], t)
}

// lose moves a ticket to those that should be refused.
func (l *sessionLoad) lose(t *ticket) { l.loseIf(func(other *ticket) bool { return other == t }) }

func (l *sessionLoad) loseAll(user string, password int64, kept *record) {
	l.loseIf(func(t *ticket) bool { return t.user == user && t.password < password && t.of != kept })
}

func (l *sessionLoad) loseIf(over func(*ticket) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var rest []*ticket
	for _, t := range l.alive {
		if over(t) || time.Now().After(t.deadline) {
			l.gone = append(l.gone[max(0, len(l.gone)-maxGone+1):], t)
		} else {
			rest = append(rest, t)
		}
	}
	l.alive = rest
}
