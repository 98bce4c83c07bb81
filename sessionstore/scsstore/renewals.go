package scsstore

import (
	"runtime"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// ending is why scs deletes a session.
type ending uint8

const (
	endingUnknown ending = iota
	endingLogout
	endingRenewal
)

// endingOf looks at the caller: scs calls a store in the same way for both, and a logout and a renewal that meet have to end
// otherwise than two renewals.
func endingOf() ending {
	var callers [16]uintptr
	frames := runtime.CallersFrames(callers[:runtime.Callers(2, callers[:])])
	for {
		f, more := frames.Next()
		switch f.Function {
		case scsPackage + ".(*SessionManager).Destroy":
			return endingLogout
		case scsPackage + ".(*SessionManager).RenewToken", scsPackage + ".(*SessionManager).MergeSession":
			return endingRenewal
		}

		if !more {
			return endingUnknown
		}
	}
}

// renewals are the sessions that RenewToken has ended a moment ago, until the request stores what continues them.
//
// A request that clears the values in between, and puts the user into them again, has lost what it was loaded from. It
// continues as of the renewal, so that it does not survive what has ended the user's sessions since.
type renewals struct {
	mu     sync.Mutex
	logins map[string]renewed[sessionstore.Login] // by user
	data   map[uuid.UUID]renewed[Data]            // what the session held at its end
}

type renewed[V any] struct {
	value V
	at    time.Time
}

// renewalsKept is how long a request may take from RenewToken to its commit. One that gives up in between has a login of
// the same user refused for as long, if the user's sessions were ended meanwhile.
const renewalsKept = 10 * time.Second

func (n *renewals) addLogin(login sessionstore.Login) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.logins = keepRecent(n.logins)
	n.logins[login.User()] = renewed[sessionstore.Login]{login, time.Now()}
}

func (n *renewals) addData(id uuid.UUID, data Data) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.data = keepRecent(n.data)
	n.data[id] = renewed[Data]{data, time.Now()}
}

// keepRecent forgets what is too old.
func keepRecent[K comparable, V any](m map[K]renewed[V]) map[K]renewed[V] {
	if m == nil {
		return map[K]renewed[V]{}
	}
	for key, r := range m {
		if time.Since(r.at) > renewalsKept {
			delete(m, key)
		}
	}
	return m
}

// takeLogin returns the login that a user's session had when it was renewed.
func (n *renewals) takeLogin(user string) (sessionstore.Login, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r, ok := n.logins[user]
	delete(n.logins, user)
	return r.value, ok && time.Since(r.at) <= renewalsKept
}

// lastData returns what a session held when it was renewed.
func (n *renewals) lastData(id uuid.UUID) (Data, bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	r, ok := n.data[id]
	return r.value, ok
}
