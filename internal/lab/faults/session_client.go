package main

import (
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"
)

func (l *sessionLoad) anyUser() string { return "user-" + strconv.Itoa(rand.IntN(sessionUsers)) }

// beginAs begins a login of a user.
func (l *sessionLoad) beginAs(user string) (b Begun, ok bool) {
	_, ok = l.call("Begin", user, &b)
	return b, ok && b.Outcome == Done
}

// begin begins a login of some user, and may change the password then.
func (l *sessionLoad) begin() (user string, b Begun, ok bool) {
	user = l.anyUser()
	if b, ok = l.beginAs(user); !ok {
		return user, b, false
	}
	if rand.IntN(sessionLateFor) == 0 {
		l.changeOf(user, nil)
	} else {
		l.rest()
	}
	return user, b, true
}

// lifetime is mostly long.
func (l *sessionLoad) lifetime() time.Duration {
	if rand.IntN(3) == 0 {
		return 300*time.Millisecond + rand.N(1500*time.Millisecond)
	}
	return longSession
}

func (l *sessionLoad) login() {
	if user, b, ok := l.begin(); ok {
		l.create(user, b)
	}
}

// loginThroughBreach deletes a user, and logs in again under the same id while all sessions are ended.
func (l *sessionLoad) loginThroughBreach() {
	user := l.anyUser()
	l.forgetUser(user)
	if b, ok := l.beginAs(user); ok {
		l.breach()
		l.create(user, b)
	}
}

// create makes the session of a login that has begun.
func (l *sessionLoad) create(user string, b Begun) {
	c := Creation{Login: b.Login, Secret: l.sheet(), Absolute: l.lifetime()}
	if rand.IntN(4) == 0 {
		c.Hold = rand.N(60 * time.Millisecond)
	}
	var m Made
	at, ok := l.call("Create", c, &m)
	if l.settle(didCreate, m.Outcome); ok && m.Outcome == Done {
		l.ear.token(m.Token)
		l.keep(l.gate.created(m, c, b.Password, at))
	} else if ok && m.Outcome == Refused {
		l.gate.refusedLogin(user, b.Password, at)
	}
}

// guest makes a session of nobody, and logs in with it.
func (l *sessionLoad) guest() {
	c := Creation{Secret: l.sheet(), Absolute: longSession}
	var m Made
	at, ok := l.call("Create", c, &m)
	if l.settle(didCreate, m.Outcome); !ok || m.Outcome != Done {
		return
	}
	l.ear.token(m.Token)
	t := l.gate.created(m, c, 0, at)
	l.keep(t)
	l.rest()
	if user, b, ok := l.begin(); ok {
		l.replace(t, Rotation{Token: t.token, Login: b.Login, Absolute: l.lifetime()}, user, b.Password)
	}
}

func (l *sessionLoad) rotate() {
	t := l.some(&l.alive)
	if t == nil {
		return
	}
	r := Rotation{Token: t.token}
	if rand.IntN(2) == 0 {
		r.Grace = rand.N(time.Second)
	}
	l.replace(t, r, t.user, t.password)
}

func (l *sessionLoad) replace(t *ticket, r Rotation, user string, password int64) {
	l.gate.rotating(t)
	var m Made
	at, ok := l.call("Rotate", r, &m)
	switch l.settle(didRotate, m.Outcome); {
	case !ok || m.Outcome == Unknown:
	case m.Outcome == Refused:
		l.gate.settled(t.of)
		l.gate.refusedWrite(t, at)
		if r.Login != "" {
			l.gate.refusedLogin(user, password, at)
		}
	default:
		l.ear.token(m.Token)
		l.lose(t)
		l.keep(l.gate.rotated(t, m, r, password, at))
	}
}

func (l *sessionLoad) write() {
	l.append(l.some(&l.alive), []string{"save", "update", "tx"}[rand.IntN(3)])
}

// contend has several clients write to one session at the same time.
func (l *sessionLoad) contend() {
	t := l.some(&l.alive)
	var wg sync.WaitGroup
	for range takers {
		wg.Go(func() { l.append(t, "update") })
	}
	wg.Wait()
}

// writeLate saves what a pod has read some time ago.
func (l *sessionLoad) writeLate() {
	from := &l.alive
	if rand.IntN(2) == 0 {
		from = &l.gone
	}
	l.append(l.some(from), "late")
}

// writeGone saves, rotates or keeps what is over.
func (l *sessionLoad) writeGone() {
	t := l.some(&l.gone)
	switch rand.IntN(4) {
	case 0:
		if t != nil && t.user != "" {
			l.changeOf(t.user, t)
		}
	case 1:
		if t != nil {
			l.replace(t, Rotation{Token: t.token}, t.user, t.password)
		}
	default:
		l.append(t, []string{"save", "update", "tx"}[rand.IntN(3)])
	}
}

func (l *sessionLoad) append(t *ticket, way string) {
	if t == nil {
		return
	}
	e := Entry{Token: t.token, Element: l.element.Add(1), Think: rand.N(15 * time.Millisecond), Way: way}
	var m Made
	at, ok := l.call("Append", e, &m)
	switch l.settle(didSave, m.Outcome); {
	case !ok || m.Outcome == Unknown:
	case m.Outcome == Refused:
		l.gate.refusedWrite(t, at)
	default:
		l.gate.saved(t, e.Element, m.Version, at)
	}
}

func (l *sessionLoad) logout() {
	t := l.some(&l.alive)
	if t == nil {
		return
	}

	e := Ending{Token: t.token}
	if rand.IntN(3) == 0 {
		e.ID, e.User = t.of.id, t.user
	}

	l.gate.ending(t.of)
	var wg sync.WaitGroup
	defer wg.Wait()

	if rand.IntN(2) == 0 { // a save is under way meanwhile
		wg.Go(func() { l.append(t, "update") })
	}

	var out Ended
	at, ok := l.call("End", e, &out)
	if l.settle(didEnd, out.Outcome); !ok || out.Outcome != Done {
		return
	}

	l.gate.over(t.of, at.answer)
	l.lose(t)
	l.insist(t)
	l.confirm(out.Receipt, func(at time.Time) { l.gate.overConfirmed(t.of, at) })
}

// change changes a password, in every other case from within a session, which stays.
func (l *sessionLoad) change() {
	if t := l.some(&l.alive); t != nil && t.user != "" && rand.IntN(2) == 0 {
		l.changeOf(t.user, t)
	} else if t != nil && t.user != "" {
		l.changeOf(t.user, nil)
		l.insist(t)
	}
}

// insist writes to a session that may just have been ended, through pods which may not have heard of it.
func (l *sessionLoad) insist(t *ticket) {
	for range 2 + rand.IntN(3) {
		l.append(t, "save")
	}
}

func (l *sessionLoad) changeOf(user string, from *ticket) {
	e := Ending{User: user, Serial: rand.IntN(2) == 0}
	if from != nil {
		e.Token = from.token
	}
	l.changeBy(e, from)
}

func (l *sessionLoad) changeBy(e Ending, from *ticket) {
	l.mu.Lock()
	l.passwords++
	e.Password = l.passwords
	l.mu.Unlock()
	user := e.User
	var kept *record
	if from != nil {
		kept = from.of
	}

	l.gate.changing(user, e.Password, kept)
	var out Ended
	at, ok := l.call("End", e, &out)
	switch l.settle(didChange, out.Outcome); {
	case !ok || out.Outcome == Unknown:
	case out.Outcome == Refused:
		l.gate.unchanged(user, e.Password)
		if from != nil {
			l.gate.refusedWrite(from, at)
		}
	default:
		if from != nil {
			l.gate.keeping(from, at)
		}
		l.gate.changed(user, e.Password, at.answer)
		l.loseAll(user, e.Password, kept)
		l.confirm(out.Receipt, func(at time.Time) { l.gate.changeConfirmed(user, e.Password, at) })
	}
}

// plant has a session become another user's while the user it is of changes the password within it: whatever of the two
// came first, the token must open nothing when the other user has changed the password in turn.
func (l *sessionLoad) plant() {
	t := l.some(&l.alive)
	if t == nil || t.user == "" {
		return
	}

	user, b, ok := l.begin()
	if !ok || user == t.user {
		return
	}

	var wg sync.WaitGroup
	wg.Go(func() { l.changeOf(t.user, t) })
	l.replace(t, Rotation{Token: t.token, Login: b.Login, Absolute: longSession}, user, b.Password)
	wg.Wait()

	if l.plan.plant {
		l.changeOf(user, nil)
	}
}

// forget deletes a user, and gives the id to somebody else, who chooses another password.
func (l *sessionLoad) forget() {
	l.forgetUser(l.anyUser())
}

func (l *sessionLoad) forgetUser(user string) {
	l.changeBy(Ending{User: user, Forget: true, Serial: rand.IntN(2) == 0}, nil)
}

// breaches ends all sessions there are, again and again.
func (l *sessionLoad) breaches() {
	for pause(l.ctx, breachEvery/2+rand.N(breachEvery)) == nil {
		if l.quiet.Load() {
			continue
		}
		l.working.Add(1)
		l.breach()
		l.working.Add(-1)
	}
}

func (l *sessionLoad) breach() {
	l.mu.Lock()
	l.passwords++
	e := Ending{Password: l.passwords, All: true}
	l.mu.Unlock()
	users := make([]string, sessionUsers)
	for i := range users {
		users[i] = "user-" + strconv.Itoa(i)
		l.gate.changing(users[i], e.Password, nil)
	}
	guests := l.gate.endingGuests()

	var out Ended
	at, ok := l.call("End", e, &out)
	l.settle(didChange, out.Outcome)
	done := ok && out.Outcome == Done
	l.gate.endedGuests(guests, done, ok && out.Outcome == Refused, at.answer)
	for _, user := range users {
		switch {
		case done:
			l.gate.changed(user, e.Password, at.answer)
			l.loseAll(user, e.Password, nil)
		case ok && out.Outcome == Refused:
			l.gate.unchanged(user, e.Password)
		}
	}
	if !done {
		return
	}
	l.loseIf(func(t *ticket) bool { return t.user == "" && slices.Contains(guests, t.of) })
	l.confirm(out.Receipt, func(at time.Time) {
		for _, user := range users {
			l.gate.changeConfirmed(user, e.Password, at)
		}
	})
}

// confirm has some pod confirm an end, now and then, while the client goes on.
func (l *sessionLoad) confirm(receipt string, then func(time.Time)) {
	pods := l.s.pods()
	if receipt == "" || len(pods) == 0 || rand.IntN(2) == 0 {
		return
	}

	select {
	case l.confirms <- struct{}{}:
	default:
		return
	}

	m := pods[rand.IntN(len(pods))]
	l.wg.Go(func() {
		defer func() { <-l.confirms }()
		ctx, cancel := context.WithTimeout(l.ctx, l.s.timing.Lease+3*time.Second)
		defer cancel()
		if m.call(ctx, "Confirm", receipt, new(int)) == nil {
			then(time.Now())
		}
	})
}

// once puts a one-time value, and many take it.
func (l *sessionLoad) once() {
	data := l.sheet()
	var m Made
	if _, ok := l.call("Put", data, &m); !ok || m.Outcome != Done {
		return
	}

	l.ear.token(m.Token)
	l.gate.put(m.Token, data)

	var wg sync.WaitGroup
	for range takers {
		wg.Go(func() { l.take(m.Token) })
	}

	wg.Wait()
	l.mu.Lock()
	l.values = append(l.values[max(0, len(l.values)-20):], m.Token)
	l.mu.Unlock()
}

// onceMore tries one that was taken some time ago.
func (l *sessionLoad) onceMore() {
	l.mu.Lock()
	value := ""
	if len(l.values) > 0 {
		value = l.values[rand.IntN(len(l.values))]
	}
	l.mu.Unlock()
	if value != "" {
		l.take(value)
	}
}

func (l *sessionLoad) take(value string) {
	var a Answer
	if _, ok := l.call("Take", value, &a); !ok {
		a.Outcome = Unknown
	}
	l.gate.took(value, a)
}
