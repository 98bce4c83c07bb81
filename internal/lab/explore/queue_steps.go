package main

import "github.com/pgcoherence/pgcoherence/internal/lab/leasequeue"

// The steps of clients of a lease. Traces print these names, with clients as pods.
const (
	queueAsks      = "sends its first try"
	queueRuns      = "its statement is run by the server"
	queueReturns   = "receives the result"
	queueLoses     = "loses the result"
	queueAgain     = "sends the statement again, with the same id"
	queueWakes     = "is woken by the hint that it was handed the lease"
	queueTouches   = "touches its row in the queue"
	queueClaims    = "sends its claim"
	queueRenews    = "renews its lease"
	queueGuards    = "guards a transaction"
	queueCommits   = "commits its guarded transaction"
	queueExpires   = "finds that its lease is over"
	queueReleases  = "sends its release"
	queueCancels   = "gives up"
	queueUndoes    = "undoes what it gave up"
	queueCrashes   = "crashes"
	queueEndsTx    = "its transaction is ended by the server, because it is dead"
	queueTicks     = "time passes"
	queueReplays   = "the standby replays"
	queueFailsOver = "the standby is promoted"
)

// steps lists the possible next steps.
func (w *queueWorld) steps() []step {
	var list stepList
	can := func(when bool, what string, client int) { list.add(when, what, client, nothing) }

	can(w.left.ticks > 0, queueTicks, nothing)
	can(w.left.replays > 0, queueReplays, nothing)
	can(w.left.failovers > 0, queueFailsOver, nothing)
	for i := range w.clients {
		c := &w.clients[i]
		id, alive := idOfClient(i), c.stage != stageCrashed
		sends := alive && c.flight == noStatement && !c.again
		own := w.db.Waiter(id)

		can(c.stage == stageIdle, queueAsks, i)
		can(c.flight != noStatement && !c.ran, queueRuns, i)
		can(alive && c.flight != noStatement && c.ran, queueReturns, i)
		can(alive && c.flight != noStatement && c.ran && w.left.losses > 0, queueLoses, i)
		can(alive && c.again, queueAgain, i)
		can(sends && c.stage == stageWaits && !c.turn && w.db.Next == id, queueWakes, i)
		can(sends && c.stage == stageWaits && !c.turn && (own == nil || own.Seen < w.db.Now), queueTouches, i)
		can(sends && c.stage == stageWaits && c.turn, queueClaims, i)
		can(sends && c.stage == stageOwns && w.db.Now < c.until && c.until < w.db.Now+leasequeue.TTL, queueRenews, i)
		can(sends && c.stage == stageOwns && w.db.Now < c.until && !c.guarded && w.left.guards > 0, queueGuards, i)
		can(alive && c.guard != 0, queueCommits, i)
		can(sends && c.stage == stageOwns && w.db.Now >= c.until, queueExpires, i)
		can(sends && c.stage == stageOwns && w.db.Now < c.until && c.guard == 0, queueReleases, i)
		can(w.left.cancels > 0 && (c.stage == stageAsking || c.stage == stageWaits), queueCancels, i)
		can(sends && c.leaves, queueUndoes, i)
		can(w.left.crashes > 0 && alive && c.stage != stageIdle && c.stage != stageDone, queueCrashes, i)
		can(!alive && c.guard != 0, queueEndsTx, i)
	}

	return list
}

// take takes a step.
func (w *queueWorld) take(s step) {
	if s.pod < 0 {
		w.takeOfServer(s)

		return
	}

	i := int(s.pod)
	c, id := &w.clients[i], idOfClient(i)
	switch s.what {
	case queueAsks:
		c.stage = stageAsking
		w.send(c, sendTake)
	case queueRuns:
		w.run(i)
	case queueReturns:
		w.returns(c)
	case queueLoses:
		w.left.losses--
		c.again, c.ran = true, false
	case queueAgain:
		if c.again = false; c.flight == sendTake || c.flight == sendClaim {
			c.flight = sendTry // it finds a grant that is there already by its id
		}
		w.send(c, c.flight)

	case queueWakes:
		c.turn = true
	case queueTouches:
		waits, turn := w.db.Touch(id)
		c.turn = turn && w.db.Expires <= w.db.Now
		if !waits { // it was taken for dead
			w.send(c, sendEnqueue)
		}
	case queueClaims:
		c.turn = false
		w.send(c, sendClaim)

	case queueRenews:
		if w.db.Renew(c.owned) {
			c.until = w.db.Now + leasequeue.TTL
		} else {
			c.stage = stageDone
		}
	case queueGuards:
		c.guarded = true
		w.left.guards--
		if w.db.Guard(id, c.owned) {
			c.guard = c.owned
		}
	case queueCommits:
		if c.guard < w.written {
			w.broken = "a guarded write of an older token commits after one of a newer (G7)"
		}
		w.written = c.guard
		w.endTx(c)
	case queueEndsTx:
		w.endTx(c)
	case queueExpires:
		c.stage = stageDone
	case queueReleases:
		c.stage = stageReleases
		w.send(c, sendRelease)

	case queueCancels:
		w.left.cancels--
		c.stage, c.turn, c.leaves = stageDone, false, !w.scope.off.keepCancelled
		if c.again {
			c.again, c.flight = false, noStatement
		}
	case queueUndoes:
		c.leaves = false
		before := w.db.Clone()
		w.db.Leave(id)
		if heir := w.db.Next; heir != 0 && heir != before.Next {
			w.inTurn(int(heir-1), &before, "is handed")
		}
	case queueCrashes:
		w.left.crashes--
		c.stage, c.again, c.leaves = stageCrashed, false, false
		if c.ran {
			c.flight = noStatement
		}
	}
}

func (w *queueWorld) endTx(c *queueClient) {
	c.guard = 0
	w.db.Unguard()
}

func (w *queueWorld) send(c *queueClient, what statement) {
	c.flight, c.sent, c.ran = what, w.db.Now, false
}

// run runs a client's statement, however late it is.
func (w *queueWorld) run(i int) {
	c, id := &w.clients[i], idOfClient(i)
	before := w.db.Clone()
	c.ran, c.token = true, 0

	switch c.flight {
	case sendTake:
		c.token = w.db.Take(id)
	case sendTry:
		c.token = w.db.Try(id)
	case sendClaim:
		c.token = w.db.Claim(id)
	case sendEnqueue:
		c.exists, c.turn = w.db.Enqueue(id)
	case sendRelease:
		w.db.Release(c.owned)
	}
	if c.token > before.Token {
		w.granted(i, &before, c.token)
	}
	if heir := w.db.Next; heir != 0 && heir != before.Next {
		w.inTurn(int(heir-1), &before, "is handed")
	}
	if c.stage == stageCrashed {
		c.flight = noStatement
	}
}

// returns is what a client does with a result.
func (w *queueWorld) returns(c *queueClient) {
	what := c.flight
	c.flight, c.ran = noStatement, false
	if c.stage == stageDone { // it has given up; what the statement did is undone
		return
	}

	switch {
	case what == sendRelease:
		c.stage = stageDone
	case c.token != 0:
		c.stage, c.owned, c.until = stageOwns, c.token, c.sent+leasequeue.TTL
		if w.scope.off.deadlineFromResult {
			c.until = w.db.Now + leasequeue.TTL
		}
		if c.until <= w.db.Now { // the result took so long that the lease is over
			w.send(c, sendTry)
			c.stage = stageAsking
		}
	case what == sendTake:
		w.send(c, sendEnqueue)
	case what == sendEnqueue && !c.exists:
		w.send(c, sendTry)
	case what == sendEnqueue:
		c.stage = stageWaits
	case what == sendClaim:
		w.send(c, sendTry)
	case c.stage == stageWaits:
	default: // it is not in the queue
		w.send(c, sendEnqueue)
	}
	c.token, c.exists = 0, false
}

func (w *queueWorld) takeOfServer(s step) {
	switch s.what {
	case queueTicks:
		w.left.ticks--
		w.db.Now++
	case queueReplays:
		w.left.replays--
		w.standby.db, w.standby.written = w.db.Clone(), w.written

	case queueFailsOver:
		w.left.failovers--
		now := w.db.Now
		w.db, w.written = w.standby.db.Clone(), w.standby.written
		w.db.Now, w.db.Guarded = now, 0
		if !w.scope.off.keepIncarnation {
			w.incarnation++
			w.db.Token = w.incarnation * 100
		}
		for i := range w.clients {
			c := &w.clients[i]
			c.over = c.stage == stageOwns && (w.db.Holds != c.owned || w.db.Expires < c.until) // its grant or renewal is lost
			c.guard = 0                                                                        // its transaction is gone
			switch {
			case c.flight == noStatement:
			case c.stage == stageCrashed || c.stage == stageDone:
				c.flight, c.ran = noStatement, false
			default:
				c.again, c.ran = true, false
			}
		}
	}
}
