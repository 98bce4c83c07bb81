package main

import (
	"slices"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// The steps. Traces print these names.
const (
	txBegins     = "a transaction begins"
	txCommits    = "a transaction commits"
	txPrepares   = "a transaction is prepared"
	outcomeLost  = "the publisher loses its connection in COMMIT and announces all the same"
	podNotes     = "the publisher gets the reply to its COMMIT"
	podAnnounces = "announces"
	oneAnnounces = "the process that only publishes announces"
	connects     = "listens, and reads the difference"
	catchesUp    = "applies it and is live"
	polls        = "reads the difference"
	applies      = "applies it"
	receives     = "receives a notification"
	delivers     = "its subscriber handles one item"
	beats        = "sends a beat, and the server takes the snapshot"
	beatReturns  = "receives the beat's snapshot"
	sweeps       = "reads the log for a sweep"
	marks        = "sends the mark"
	loads        = "loads the row for its cache"
	stores       = "stores what it has loaded"
	begins       = "begins to confirm the first transaction"
	confirms     = "confirms it"
	pauses       = "is paused until its proof and its lease have expired"
	dies         = "loses its listening connection"
	silences     = "receives nothing more over its connection"
	crashes      = "Postgres crashes: the log is gone"
	restarts     = "Postgres restarts: the log stays"
	failsOver    = "a standby that lacks the last commits is promoted"
	prunes       = "the log is pruned"
)

// steps lists the possible next steps.
func (w *world) steps() []step {
	var list stepList
	can := list.add

	d := &w.db
	for i := range d.txs {
		t := &d.txs[i]
		can(t.state == unborn, txBegins, nothing, i)
		can(t.state == open, txCommits, nothing, i)
		can(t.state == open && !t.prepared && w.left.prepared > 0, txPrepares, nothing, i)
		can(t.state == open && !t.lost && w.scope.loses && w.scope.writers[i] >= 0, outcomeLost, int(w.scope.writers[i]), i)
	}
	can(len(w.alone) > 0, oneAnnounces, nothing, nothing)
	can(w.left.crashes > 0, crashes, nothing, nothing)
	can(w.left.restarts > 0, restarts, nothing, nothing)
	can(w.left.prunes > 0, prunes, nothing, nothing)
	for v := 1; w.left.failovers > 0 && v < len(d.values); v++ {
		can(slices.Contains(d.before, int8(v)) || d.current == int8(v), failsOver, nothing, v)
	}

	for i := range w.pods {
		p := &w.pods[i]
		epoch := epochName(d.epoch)

		can(len(p.noted) > 0, podNotes, i, nothing)
		can(len(p.outbox) > 0 && p.track.Epoch() == epoch, podAnnounces, i, nothing)
		can(!p.connected, connects, i, nothing)
		can(p.catchUp != nil, catchesUp, i, nothing)
		can(p.live && len(p.queue) > 0, receives, i, nothing)
		can(len(p.work) > 0, delivers, i, nothing)
		can(p.read == nil && p.left.reads > 0 && (p.gap || p.deaf), polls, i, nothing)
		can(p.read != nil, applies, i, nothing)
		can(p.beat == nil && p.left.beats > 0 && p.track.Epoch() != "", beats, i, nothing)
		can(p.beat != nil, beatReturns, i, nothing)
		can(p.sweep == nil && p.left.sweeps > 0 && p.live && p.track.Epoch() == epoch && p.proven(w.scope.off) > 0, sweeps, i, nothing)
		can(p.sweep != nil, marks, i, nothing)
		can(!p.load.running && p.cache == nothing && p.left.loads > 0 && p.track.Epoch() != "", loads, i, nothing)
		can(p.load.running, stores, i, nothing)
		can(w.left.pauses > 0, pauses, i, nothing)
		can(w.left.kills > 0 && p.connected, dies, i, nothing)
		can(w.left.deaf > 0 && p.connected && !p.deaf, silences, i, nothing)
	}
	if by := w.scope.confirmer(); by >= 0 {
		can(w.canBegin(by), begins, by, 0)
		can(w.canConfirm(by), confirms, by, 0)
	}

	return list
}

// confirmer is the pod that confirms the first transaction; -1 if none does.
func (s *scope) confirmer() int {
	if !s.confirm {
		return nothing
	}

	return int(s.writers[0])
}

func (w *world) canBegin(by int) bool {
	t := w.db.txs[0]
	return !w.confirmation.begun && t.state == committed && t.epoch == w.db.epoch && len(w.pods[by].noted) == 0
}

// canConfirm is the rule by which Confirm returns: every pod that has a row has applied the transaction, or its lease
// has expired since. A pod relies on the rows only after it has watched the log for as long as a pod may trust an older
// log: by then every pod has noticed the new log, or no longer trusts what it has.
func (w *world) canConfirm(by int) bool {
	c, t, d := &w.confirmation, w.db.txs[0], &w.db
	if !c.begun || c.done || w.pods[by].track.Epoch() != epochName(d.epoch) || t.epoch != d.epoch {
		return false
	}

	for i := range w.pods {
		p, r := &w.pods[i], &d.rows[i]
		if p.expired >= c.since {
			continue
		}
		watched := p.track.Epoch() == epochName(d.epoch) || p.expired >= d.epochBorn
		if !watched && !w.scope.off.confirmWithoutWait {
			return false
		}
		if !r.exists {
			continue
		}
		switch {
		case w.scope.off.confirmByCount:
			if r.beats <= c.beats[i] {
				return false
			}
		case r.epoch != epochName(t.epoch), !r.at.AtLeast(c.after):
			return false
		}
	}

	return true
}

// take takes a step.
func (w *world) take(s step) {
	if s.pod >= 0 {
		w.takeOf(s, int(s.pod))
		return
	}

	d := &w.db
	switch s.what {
	case txBegins:
		d.begin(int(s.item))
	case txPrepares:
		w.left.prepared--
		d.txs[s.item].prepared = true
	case txCommits:
		w.commit(int(s.item))
	case oneAnnounces:
		e := w.alone[0]
		w.alone = w.alone[1:]
		w.announce(e)
	case crashes, restarts, failsOver:
		w.stop(s)
	case prunes:
		w.left.prunes--
		d.prunedTo = d.snapshot()
	}
}

func (w *world) commit(i int) {
	d := &w.db
	d.commit(i)

	t := &d.txs[i]
	if !t.logged && !w.scope.off.ignorePrepared {
		d.newEpoch() // its event is gone: the epoch counts such transactions
	}
	if t.lost || t.prepared {
		return
	}
	switch by := w.scope.writers[i]; by {
	case foreign:
	case alone:
		w.alone = append(w.alone, event{t.xid, t.epoch})
	default:
		p := &w.pods[by]
		if e := (event{t.xid, t.epoch}); w.scope.lateNotes {
			p.noted = append(p.noted, e)
		} else {
			p.note(e, w.scope.queued, w.scope.off)
		}
	}
}

// announce sends an event's name if its commit is visible and the log is still the one that contains it.
func (w *world) announce(e event) {
	off := w.scope.off
	if e.epoch != w.db.epoch && !off.namesOutliveEpoch {
		return
	}
	if !off.announceInvisible && !w.db.snapshot().Sees(e.xid) {
		return
	}
	w.notify(message{epoch: w.db.epoch, events: []event{e}})
}

func (w *world) notify(m message) {
	for i := range w.pods {
		if p := &w.pods[i]; p.connected && !p.deaf {
			p.queue = append(p.queue, m)
		}
	}
}

func (w *world) stop(s step) {
	for i := range w.pods {
		p := &w.pods[i]
		p.disconnect()
		p.beat, p.sweep = nil, nil
	}

	switch s.what {
	case restarts:
		w.left.restarts--
		w.db.stop(false)
	case crashes:
		w.left.crashes--
		w.db.stop(true)
	case failsOver:
		w.left.failovers--
		w.db.stop(true)
		w.db.lose(s.item)
	}
}

func (p *pod) disconnect() {
	p.connected, p.deaf, p.live, p.queue, p.catchUp = false, false, false, nil, nil
}

func (w *world) takeOf(s step, i int) {
	d, p, off, queued := &w.db, &w.pods[i], w.scope.off, w.scope.queued

	switch s.what {
	case outcomeLost:
		t := &d.txs[s.item]
		t.lost = true
		p.deliver(work{}, queued, off)
		p.outbox = append(p.outbox, event{t.xid, t.epoch})
	case podNotes:
		e := p.noted[0]
		p.noted = p.noted[1:]
		p.note(e, queued, off)
	case podAnnounces:
		e := p.outbox[0]
		p.outbox = p.outbox[1:]
		w.announce(e)

	case connects:
		p.connected = true
		p.catchUp = w.difference(p)
	case catchesUp:
		r := p.catchUp
		p.catchUp, p.live = nil, true
		p.apply(r, d.clock, queued, off)
	case polls:
		p.left.reads--
		p.gap = false
		p.read = w.difference(p)
	case applies:
		r := p.read
		p.read = nil
		p.apply(r, d.clock, queued, off)
	case receives:
		m := p.queue[0]
		p.queue = p.queue[1:]
		p.receive(m, d.clock, queued, off)
	case delivers:
		x := p.work[0]
		p.work = p.work[1:]
		p.do(x, off)
	case dies:
		w.left.kills--
		p.disconnect()
	case silences:
		w.left.deaf--
		p.deaf, p.queue = true, nil
	case pauses:
		w.left.pauses--
		d.clock++
		p.expired = d.clock
		d.clock++ // so that a beat sent from now on is later

	case beats:
		w.sendBeat(p, i)
	case beatReturns:
		b := p.beat
		p.beat = nil
		epoch := b.epoch
		if off.beatOfOtherEpoch {
			epoch = p.track.Epoch()
		}
		if !p.track.Beat(epoch, b.snapshot, at(b.sent)) {
			p.gap = true
		}
	case sweeps:
		w.readForAll(p)
	case marks:
		w.mark(p)

	case loads:
		p.left.loads--
		p.load = load{running: true, value: d.current}
	case stores:
		p.cache = p.load.value
		p.load = load{}

	case begins:
		c := &w.confirmation
		d.clock++
		c.begun, c.since, c.after = true, d.clock, d.snapshot().Stamp()
		c.beats = nil
		for _, r := range d.rows {
			c.beats = append(c.beats, r.beats)
		}
	case confirms:
		w.confirmation.done = true
	}
}

func (w *world) difference(p *pod) *read {
	base, ok := p.track.Base()
	of := p.track.Epoch()
	if !ok {
		of = ""
	}
	head, events := w.db.difference(base, of, p.track.Received(), w.scope.off)

	return &read{head, events}
}

func (w *world) sendBeat(p *pod, i int) {
	d := &w.db
	p.left.beats--

	r := &d.rows[i]
	if !r.exists { // a pod without a row registers, and proves nothing
		*r = row{exists: true}
		return
	}
	p.beat = &beat{d.snapshot(), epochName(d.epoch), d.clock}
	r.epoch, r.at = p.track.Epoch(), p.track.Position()
	r.beats++
}

func (w *world) readForAll(p *pod) {
	p.left.sweeps--

	base, ok := p.track.SweepBase()
	if !ok {
		return
	}
	head, events := w.db.difference(base, p.track.Epoch(), p.track.Received(), w.scope.off)
	if !base.Stamp().AtLeast(head.PrunedTo.Stamp()) && !w.scope.off.ignorePruned {
		p.gap = true
		return
	}
	events = slices.DeleteFunc(events, func(e event) bool {
		return p.track.Known(position.EventID{XID: e.xid})&position.Announced != 0
	})
	p.sweep = &sweep{head, events}
}

func (w *world) mark(p *pod) {
	s := p.sweep
	p.sweep = nil
	if s.head.Epoch != epochName(w.db.epoch) {
		return
	}
	events := s.events
	if w.scope.off.markWithoutEvents {
		events = nil
	}
	p.track.Sent(s.head.Current)
	w.notify(message{epoch: w.db.epoch, events: events, mark: true, from: s.head.Base.Stamp(), to: s.head.Current.Stamp()})
}
