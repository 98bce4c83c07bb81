package main

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"

	"github.com/pgcoherence/pgcoherence/internal/lab/leasequeue"
)

// queueWorld is one lease and clients that want it. What a statement does is the model of internal/lab/leasequeue, which a
// test of package lock holds against the shipped statements. What clients send, and when, is the protocol of package lock:
// a statement may arrive late, its result may be lost, and whoever sent it may have given up or be dead by then.
type queueWorld struct {
	scope   *queueScope
	db      leasequeue.State
	written int32 // the token of the last guarded write
	standby struct {
		db      leasequeue.State
		written int32
	}
	incarnation int32
	clients     []queueClient
	newest      int32 // the largest token that was granted to a client
	left        struct{ ticks, losses, cancels, crashes, replays, failovers, guards int8 }
	broken      string
}

type queueStage uint8

const (
	stageIdle queueStage = iota
	stageAsking
	stageWaits
	stageOwns
	stageReleases
	stageDone
	stageCrashed
)

// The statements that clients send.
type statement uint8

const (
	noStatement statement = iota
	sendTake
	sendEnqueue
	sendTry
	sendClaim
	sendRelease
)

// queueClient is a process that wants the lease once.
type queueClient struct {
	stage  queueStage
	flight statement // on its way to the server, or its result on its way back
	sent   int32
	ran    bool // the server has run it
	token  int32
	exists bool
	again  bool // the result was lost
	turn   bool // it was woken, or a touch said that it is its turn
	leaves bool // it has given up, and has to undo what its last statement may have done

	owned, until int32 // its token, and until when it relies on the lease
	over         bool  // a failover lost its grant
	guard        int32 // the token of its open guarded transaction; 0 for none
	guarded      bool  // it has had one
}

func idOfClient(i int) leasequeue.ID { return leasequeue.ID(i + 1) }

func newQueueWorld(s *queueScope) *queueWorld {
	w := &queueWorld{scope: s, clients: make([]queueClient, s.clients)}
	w.db.Off = s.off.model
	if s.known {
		w.db.Exists, w.db.Expires = true, leasequeue.Free
	}
	w.standby.db = w.db.Clone()
	l := &w.left
	l.ticks, l.losses, l.cancels, l.crashes = int8(s.ticks), int8(s.losses), int8(s.cancels), int8(s.crashes)
	l.replays, l.failovers, l.guards = int8(s.replays), int8(s.failovers), int8(s.guards)

	return w
}

func (w *queueWorld) clone() *queueWorld {
	c := *w
	c.db, c.standby.db = w.db.Clone(), w.standby.db.Clone()
	c.clients = slices.Clone(w.clients)

	return &c
}

func (w *queueWorld) violation() string { return w.broken }

func (w *queueWorld) next() iter.Seq2[step, state] {
	return func(yield func(step, state) bool) {
		for _, s := range w.steps() {
			n := w.clone()
			n.take(s)
			if n.broken == "" {
				n.checkEnd()
			}
			if !yield(s, n) {
				return
			}
		}
	}
}

func (w *queueWorld) append(b []byte) []byte {
	put := func(list ...int32) {
		for _, n := range list {
			b = binary.AppendVarint(b, int64(n))
		}
	}
	b = w.db.Append(b)
	put(w.written, w.newest, w.incarnation)
	if w.left.failovers > 0 {
		b = w.standby.db.Append(b)
		put(w.standby.written, w.db.Now-w.standby.db.Now)
	}
	for _, c := range w.clients {
		b = append(b, byte(c.stage), byte(c.flight), bit(c.ran), bit(c.exists), bit(c.again), bit(c.turn), bit(c.leaves), bit(c.over), bit(c.guarded))
		put(c.token, c.owned, c.guard)
		if c.flight != noStatement {
			put(c.sent - w.db.Now)
		}
		if c.stage == stageOwns {
			put(max(c.until-w.db.Now, 0))
		}
	}
	l := w.left

	return append(b, byte(l.ticks), byte(l.losses), byte(l.cancels), byte(l.crashes), byte(l.replays), byte(l.failovers), byte(l.guards))
}

// granted checks a new token that a client's statement was granted, from the state before.
func (w *queueWorld) granted(i int, before *leasequeue.State, token int32) {
	for j := range w.clients {
		c := &w.clients[j]
		switch {
		case c.guard != 0 && c.guard != token:
			w.broken = fmt.Sprintf("client %d is granted token %d while client %d's transaction is guarded by token %d (G7)", i, token, j, c.guard)
		case j != i && c.stage == stageOwns && !c.over && w.db.Now < c.until:
			w.broken = fmt.Sprintf("client %d is granted token %d while client %d relies on token %d (G7)", i, token, j, c.owned)
		}
	}
	if token <= w.newest {
		w.broken = fmt.Sprintf("client %d is granted token %d after token %d (tokens grow)", i, token, w.newest)
	}
	w.newest = max(w.newest, token)

	if before.Next != idOfClient(i) { // else it was checked when the lease was handed to it
		w.inTurn(i, before, "is granted")
	}
}

// inTurn checks that no live waiter has waited longer than a client that gets the lease, or is handed it, in a state.
func (w *queueWorld) inTurn(i int, before *leasequeue.State, what string) {
	place := int32(1 << 20)
	if own := before.Waiter(idOfClient(i)); own != nil {
		place = own.Place
	}
	for n := range before.Waiters {
		other := &before.Waiters[n]
		lapsed := other.ID == before.Next && before.NextUntil <= before.Now
		if other.Place < place && before.IsLive(other) && !lapsed && w.clients[other.ID-1].stage == stageWaits {
			w.broken = fmt.Sprintf("client %d %s the lease before client %d, which has waited longer (first come, first served)", i, what, other.ID-1)
		}
	}
}

// checkEnd sets broken if a client would wait for ever, or something would be left, although from now on nothing is lost,
// nobody gives up or dies, and every owner releases.
func (w *queueWorld) checkEnd() {
	e := w.clone()
	for range 3*len(w.clients) + 2*leasequeue.TTL {
		for i := range e.clients {
			e.goOn(i)
		}
		e.db.Now++
		if e.broken != "" {
			w.broken = e.broken + ", if nothing else goes wrong"

			return
		}
	}

	for i := range e.clients {
		if s := e.clients[i].stage; s != stageIdle && s != stageDone && s != stageCrashed {
			w.broken = fmt.Sprintf("client %d waits for ever (no waiter is lost)", i)
		}
		own := e.db.Waiter(idOfClient(i))
		back := own != nil && w.scope.failovers > 0 && !e.db.IsLive(own) // a failover brought it back: it is dead, and purged
		if e.clients[i].stage == stageDone && own != nil && !back {
			w.broken = fmt.Sprintf("client %d is in the queue for ever (nothing is left)", i)
		}
	}
	if e.db.Held() || e.db.Guarded > 0 {
		w.broken = "the lease stays held (nothing is left)"
	}
}

// goOn does what a client does next if all goes well.
func (w *queueWorld) goOn(i int) {
	for range 6 {
		c := &w.clients[i]
		var what string
		switch {
		case c.stage == stageCrashed && c.guard != 0:
			what = queueEndsTx
		case c.stage == stageCrashed:
			return
		case c.flight != noStatement && !c.ran:
			what = queueRuns
		case c.flight != noStatement:
			what = queueReturns
		case c.guard != 0:
			what = queueCommits
		case c.again:
			what = queueAgain
		case c.leaves:
			what = queueUndoes
		case c.stage == stageWaits && c.turn:
			what = queueClaims
		case c.stage == stageWaits:
			what = queueTouches
		case c.stage == stageOwns && w.db.Now >= c.until:
			what = queueExpires
		case c.stage == stageOwns:
			what = queueReleases
		default:
			return
		}
		w.take(step{what, int8(i), nothing})
		if what == queueTouches && !c.turn && c.flight == noStatement {
			return
		}
	}
}
