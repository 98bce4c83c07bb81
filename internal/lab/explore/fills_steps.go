package main

import (
	"slices"

	"github.com/pgcoherence/pgcoherence/internal/fill"
	"github.com/pgcoherence/pgcoherence/internal/fill/history"
)

// The steps of fills. Traces print these names.
const (
	standbyReplays = "the standby replays"
	fillHears      = "is told of a transaction, and remembers it"
	fillDrops      = "drops the entry for it, and detaches the load"
	fillFinds      = "finds that it has missed something"
	fillForgets    = "resets: forgets the history"
	fillEpoch      = "resets: begins an epoch of its cache"
	fillStarts     = "resets: goes on from what it has found"
	fillGets       = "a reader calls Get, and asks whether the bus is fresh"
	fillFresh      = "a reader calls GetFresh"
	fillAfter      = "a reader calls GetAfter with the receipt of a transaction"
	fillRefresh    = "a reader begins a refresh ahead of the entry's end"
	fillAsks       = "the reader asks again"
	fillReadsFirst = "the reader's lookup reads the epoch (without that rule, the position)"
	fillLooksUp    = "the reader's lookup reads the position (without that rule, the epoch), and looks up"
	fillTierReads  = "a load reads the tier"
	fillBegins     = "a load reads the epoch again (without that rule, the position)"
	fillReading    = "a load reads the position again (without that rule, the epoch), and reads from the database from now on"
	fillLoads      = "the loader reads the row"
	fillChecks     = "a load compares the standby's snapshot"
	fillDecides    = "a load's value is decided on"
	fillEnds       = "a load ends as decided"
	fillLabels     = "the value is labelled for the tier"
	fillWrites     = "the value arrives in the tier"
)

// steps lists the possible next steps.
func (w *fillWorld) steps() []step {
	var list stepList
	can := list.add

	d := &w.db
	for i := range d.txs {
		turn := !w.scope.inTurn || i == 0 || d.txs[i-1].state == committed || d.txs[i-1].state == gone
		can(d.txs[i].state == unborn && turn, txBegins, nothing, i)
		can(d.txs[i].state == open, txCommits, nothing, i)
	}
	for v := 1; w.left.failovers > 0 && v < len(d.values); v++ {
		can(slices.Contains(d.before, int8(v)) || d.current == int8(v), failsOver, nothing, v)
	}
	can(w.left.replays > 0 && w.replica.value != d.current, standbyReplays, nothing, nothing)

	for i := range w.pods {
		w.stepsOfBus(i, can)
		w.stepsOfReaders(i, can)
		for slot := range w.pods[i].loads {
			w.stepsOfLoad(i, slot, can)
		}
	}

	return list
}

func (w *fillWorld) stepsOfBus(i int, can func(when bool, what string, pod, item int)) {
	d, p := &w.db, &w.pods[i]
	idle := p.applying == nothing && p.reset == 0

	for t := range d.txs {
		tx := &d.txs[t]
		can(idle && tx.state == committed && !p.known[t] && epochName(tx.epoch) == p.bus.epoch, fillHears, i, t)
	}
	can(p.applying != nothing && (!p.locked || w.scope.events[max(p.applying, 0)] != eventKey), fillDrops, i, nothing)
	can(idle && p.beat == nil && p.left.beats > 0, beats, i, nothing)
	can(idle && p.beat != nil && w.covered(p), beatReturns, i, nothing)
	can(idle && (p.bus.epoch != epochName(d.epoch) || p.left.resets > 0), fillFinds, i, nothing)
	can(p.reset == 1, fillForgets, i, nothing)
	can(p.reset == 2, fillEpoch, i, nothing)
	can(p.reset == 3, fillStarts, i, nothing)
	can(w.left.pauses > 0, pauses, i, nothing)
}

// covered reports whether the pod has applied everything that its beat saw, or the beat saw another log.
func (w *fillWorld) covered(p *fillPod) bool {
	for t := range w.db.txs {
		tx := &w.db.txs[t]
		if p.beat.epoch == p.bus.epoch && tx.xid != 0 && epochName(tx.epoch) == p.beat.epoch && p.beat.snapshot.Sees(tx.xid) && !p.known[t] {
			return false
		}
	}

	return true
}

const maxReaders = 2

func (w *fillWorld) stepsOfReaders(i int, can func(when bool, what string, pod, item int)) {
	p := &w.pods[i]
	room := len(p.readers) < maxReaders && (!w.scope.single || len(p.readers) == 0)

	can(room && p.left.gets > 0, fillGets, i, nothing)
	can(room && p.left.fresh > 0, fillFresh, i, nothing)
	can(room && p.left.refreshes > 0 && p.servable() && p.bus.trust() == fill.TrustFresh, fillRefresh, i, nothing)
	for t := range w.db.txs {
		can(room && p.left.after > 0 && w.db.txs[t].state == committed, fillAfter, i, t)
	}

	for n, r := range p.readers {
		can(r.stage == 0, fillAsks, i, n)
		can(r.stage == 1, fillReadsFirst, i, n)
		can(r.stage == 2 && !p.locked, fillLooksUp, i, n)
	}
	for n := range p.sealed {
		can(true, fillWrites, i, n)
	}
}

func (w *fillWorld) stepsOfLoad(i, slot int, can func(when bool, what string, pod, item int)) {
	p := &w.pods[i]
	f := p.loads[slot]
	if f == nil {
		return
	}
	if f.stored {
		can(true, fillLabels, i, slot)

		return
	}

	waits := f.Phase == fill.Waiting
	tier := w.scope.tier && !f.noTier
	can(waits && tier && !f.tierRead, fillTierReads, i, slot)
	can(waits && !f.has && (!tier || f.tierRead) && !f.begun, fillBegins, i, slot)
	can(waits && f.begun && !p.locked, fillReading, i, slot)
	can(!waits && !f.has, fillLoads, i, slot)

	compares := w.scope.standby && f.label == nil && !f.primary && !f.checked
	can(f.has && !f.decided && compares, fillChecks, i, slot)
	can(f.has && !f.decided && !compares && !p.locked, fillDecides, i, slot)
	can(f.decided, fillEnds, i, slot)
}

// take takes a step.
func (w *fillWorld) take(s step) {
	d := &w.db
	switch s.what {
	case txBegins:
		d.begin(int(s.item))

		return
	case txCommits:
		d.commit(int(s.item))
		w.ends[s.item] = d.clock

		return
	case standbyReplays:
		w.left.replays--
		w.replay()

		return
	case failsOver:
		w.left.failovers--
		d.stop(true)
		d.lose(s.item)
		w.replay()
		for i := range w.pods {
			w.pods[i].beat = nil
		}

		return
	}

	p := &w.pods[s.pod]
	switch s.what {
	case fillHears, fillDrops, beats, beatReturns, fillFinds, fillForgets, fillEpoch, fillStarts, pauses:
		w.takeOfBus(p, s)
	case fillTierReads, fillBegins, fillReading, fillLoads, fillChecks, fillDecides, fillEnds, fillLabels:
		w.takeOfLoad(p, s)
	case fillWrites:
		v := p.sealed[s.item]
		p.sealed = slices.Delete(p.sealed, int(s.item), int(s.item)+1)
		w.tier[w.tierEpoch(v.label.Epoch)] = v
	default:
		w.takeOfReader(p, s)
	}
}

// replay makes the standby see what the primary sees. It does not list the transactions in progress.
func (w *fillWorld) replay() {
	at := w.db.snapshot()
	at.Xip = nil
	w.replica = replica{value: w.db.current, at: at}
}

func (w *fillWorld) tierEpoch(epoch string) string {
	if w.scope.off.guards.AnyEpoch {
		return ""
	}

	return epoch
}

func (w *fillWorld) takeOfBus(p *fillPod, s step) {
	d, off := &w.db, w.scope.off
	switch s.what {
	case fillHears:
		p.applying = s.item
		if off.dropFirst {
			w.drop(p)
		} else {
			w.remember(p)
		}
	case fillDrops:
		if off.dropFirst {
			w.remember(p)
		} else {
			w.drop(p)
		}
		p.known[p.applying] = true
		p.floor = max(p.floor, w.ends[p.applying])
		p.applying = nothing

	case beats:
		p.left.beats--
		d.clock++
		p.beat = &beat{d.snapshot(), epochName(d.epoch), d.clock}
	case beatReturns:
		b := p.beat
		p.beat = nil
		if b.epoch != p.bus.epoch {
			return
		}
		if b.snapshot.Stamp().AtLeast(p.bus.at.Stamp()) {
			p.bus.at = b.snapshot
		}
		p.bus.proof = max(p.bus.proof, b.sent)

	case fillFinds:
		if p.bus.epoch == epochName(d.epoch) {
			p.left.resets--
		}
		p.reset, p.beat = 1, nil
		p.found.epoch, p.found.clock, p.found.at = d.epoch, d.clock, d.snapshot()
		p.bus.ok, p.bus.proof = false, 0
		for t := range d.txs {
			p.known[t] = d.txs[t].state == committed
		}
	case fillForgets:
		p.reset = 2
		p.judge.History.Reset(at(d.clock))
	case fillEpoch:
		p.reset = 3
		p.epoch.Add(1)
		p.floor = max(p.floor, p.found.clock)
	case fillStarts:
		p.reset = 0
		p.bus.epoch, p.bus.at, p.bus.ok = epochName(p.found.epoch), p.found.at, true
	case pauses:
		w.left.pauses--
		d.clock++
		p.bus.expired = d.clock
		d.clock++
	}
}

// remember is the first half of Invalidate.
func (w *fillWorld) remember(p *fillPod) {
	e := history.Event{XIDs: []uint64{w.db.txs[p.applying].xid}, At: at(w.db.clock)}
	switch w.scope.events[p.applying] {
	case eventKey:
		p.judge.History.Note(fillKey, e)
	case eventTag:
		p.judge.History.Note(fillTag, e)
	case eventAll:
		p.judge.History.NoteAll(e)
	}
}

// drop is the second half.
func (w *fillWorld) drop(p *fillPod) {
	switch w.scope.events[p.applying] {
	case eventKey:
		if p.newest != nothing && !w.scope.off.guards.KeepLoads {
			p.loads[p.newest].Detached = true
		}
		p.remove()
	case eventTag:
		p.judge.Tags.Invalidate("t")
	case eventAll:
		p.epoch.Add(1)
	}
}

// remove removes the entry, if there is one.
func (p *fillPod) remove() {
	if p.entry != nil {
		p.judge.Tags.Release(p.entry.marks)
		p.entry = nil
	}
}

// position is the bus's position, as a load notes it.
func (p *fillPod) position() (at fill.Place) {
	at.Epoch, at.At, at.OK = p.bus.Position()
	at.Mark = p.judge.History.Mark()

	return at
}

func (w *fillWorld) takeOfReader(p *fillPod, s step) {
	now := w.db.clock
	r := fillReader{floor: max(p.floor, p.bus.expired), asked: p.judge.Tags.Count(), stage: 1, trust: p.bus.trust(), load: nothing}
	if r.trust == fill.TrustFresh {
		r.floor = max(r.floor, p.bus.proof)
	}

	switch s.what {
	case fillGets:
		p.left.gets--
	case fillFresh:
		p.left.fresh--
		r.mode, r.floor = modeFresh, now
	case fillAfter:
		p.left.after--
		tx := &w.db.txs[s.item]
		if !p.bus.ok || epochName(tx.epoch) != p.bus.epoch || !p.bus.at.Sees(tx.xid) {
			r.mode = modeFresh
		}
		r.floor = max(r.floor, w.ends[s.item])
	case fillRefresh:
		p.left.refreshes--
		r.mode = modeRefresh

	case fillAsks:
		p.readers[s.item].stage, p.readers[s.item].trust = 1, r.trust

		return
	case fillReadsFirst:
		one := &p.readers[s.item]
		one.stage = 2
		if w.scope.off.guards.EpochLate {
			one.place = p.position()
		} else {
			one.epoch = p.epoch.Load()
		}

		return
	case fillLooksUp:
		w.lookUp(p, s)

		return
	}
	p.readers = append(p.readers, r)
}

// lookUp is what find does with the shard locked.
func (w *fillWorld) lookUp(p *fillPod, s step) {
	r := p.readers[s.item]
	if w.scope.off.guards.EpochLate {
		r.epoch = p.epoch.Load()
	} else {
		r.place = p.position()
	}

	// The entry.
	e := p.entry
	if r.mode == modeGet && e != nil && (r.trust != fill.TrustNothing || w.scope.off.serveAnyway) {
		if fill.Servable(e.epoch, r.epoch, 1, 0, e.marks) {
			p.readers = slices.Delete(p.readers, int(s.item), int(s.item)+1)
			w.served(int(s.pod), e.value, r.floor, "the reader is served from the cache")

			return
		}
		p.remove()
	}

	// A load that it may wait for.
	if r.mode == modeRefresh && p.newest != nothing {
		p.readers = slices.Delete(p.readers, int(s.item), int(s.item)+1)

		return
	}
	if p.newest != nothing {
		f := p.loads[p.newest]
		young := f.since > p.bus.expired
		if p.judge.MayJoin(&f.Load, r.mode == modeFresh, r.trust, r.epoch, f.primary, young) {
			if f.Phase == fill.Waiting {
				f.Join(r.mode == modeFresh, r.trust)
			}
			p.readers[s.item].stage, p.readers[s.item].load = 3, p.newest
			p.readers[s.item].place, p.readers[s.item].epoch = fill.Place{}, 0

			return
		}
	}

	// A new one.
	slot := slices.Index(p.loads[:], nil)
	if slot < 0 {
		return // it waits until one has ended
	}
	f := &fillLoad{Load: fill.Load{Epoch: r.epoch, Place: r.place, Began: p.judge.Tags.Begin()}}
	f.Join(r.mode == modeFresh, r.trust)
	f.noTier = r.mode == modeRefresh || r.trust != fill.TrustFresh
	if p.newest != nothing {
		p.loads[p.newest].Detached = true
	}
	p.loads[slot], p.newest = f, int8(slot)

	if r.mode == modeRefresh {
		p.readers = slices.Delete(p.readers, int(s.item), int(s.item)+1)

		return
	}
	p.readers[s.item].stage, p.readers[s.item].load = 3, int8(slot)
	p.readers[s.item].place, p.readers[s.item].epoch = fill.Place{}, 0
}

// valueOf is what matters of what a load has read.
func (w *fillWorld) valueOf(f *fillLoad) *fill.Value {
	return &fill.Value{Name: fillKey, Tags: w.scope.tags(), Wire: w.scope.wire(), From: f.from, Tier: f.label}
}

func (w *fillWorld) takeOfLoad(p *fillPod, s step) {
	f := p.loads[s.item]
	switch s.what {
	case fillTierReads:
		f.tierRead = true
		if v, ok := w.tier[w.tierEpoch(f.Place.Epoch)]; ok && f.Place.OK {
			f.has, f.value, f.label = true, v.value, &v.label
		}

	case fillBegins:
		f.begun = true
		if w.scope.off.guards.EpochLate {
			f.place = p.position()
		} else {
			f.epoch = p.epoch.Load()
		}
	case fillReading:
		if w.scope.off.guards.EpochLate {
			f.epoch = p.epoch.Load()
		} else {
			f.place = p.position()
		}
		trusted := p.bus.trust() == fill.TrustFresh
		f.StartReading(f.epoch, f.place, p.judge.Tags, p.newest == s.item)
		f.primary, f.since = f.Primary || !trusted, w.db.clock
		f.epoch, f.place = 0, fill.Place{}

	case fillLoads:
		f.has, f.value, f.from = true, w.db.current, fill.ReadView{}
		if w.scope.standby && !f.primary {
			f.value, f.from = w.replica.value, fill.ReadView{At: w.replica.at, Standby: true}
		} else if w.scope.stated {
			f.from = fill.ReadView{At: w.db.snapshot()}
		}
	case fillChecks:
		f.checked = true
		if p.judge.Behind(&f.Load, w.valueOf(f)) {
			f.has, f.primary, f.value, f.from = false, true, 0, fill.ReadView{}
		}

	case fillDecides:
		f.decided, p.locked = true, !w.scope.off.unlocked
		f.decision = p.judge.Admit(&f.Load, w.valueOf(f))
	case fillEnds:
		w.end(p, s)
	case fillLabels:
		if label, ok := p.judge.Label(&f.Load, w.valueOf(f)); ok {
			p.sealed = append(p.sealed, tierValue{f.value, label})
		}
		p.loads[s.item] = nil
	}
}

// end is what finish does once it is decided.
func (w *fillWorld) end(p *fillPod, s step) {
	f := p.loads[s.item]
	p.locked = false

	kept := false
	f.late = f.decision.Late
	if f.decision.Refused == "" {
		marks, ok := p.judge.Acquire(&f.Load, w.valueOf(f))
		if kept = ok; ok {
			p.remove()
			p.entry = &fillEntry{value: f.value, epoch: p.judge.StoredIn(&f.Load), marks: marks}
		} else {
			f.late = true
		}
	}
	if f.label != nil && !kept { // what the tier has does not end the load
		f.has, f.decided, f.label, f.decision, f.value = false, false, nil, fill.Admission{}, 0

		return
	}

	// Its readers.
	behind := f.decision.Behind
	p.readers = slices.DeleteFunc(p.readers, func(r fillReader) bool {
		return r.load == s.item && (behind || !fill.StartsOver(&f.Load, f.late, r.asked)) && w.gets(s, f, r, behind)
	})
	for n := range p.readers {
		if r := &p.readers[n]; r.load == s.item {
			r.load, r.stage = nothing, 0
		}
	}

	f.Phase = fill.Ended
	if p.newest == s.item {
		p.newest = nothing
	}
	p.judge.Tags.End(f.Began)
	if f.stored = kept && w.scope.tier && f.label == nil; !f.stored {
		p.loads[s.item] = nil
	}
}

// gets passes a load's value to a reader, and returns true.
func (w *fillWorld) gets(s step, f *fillLoad, r fillReader, behind bool) bool {
	if !behind && w.broken == "" {
		w.served(int(s.pod), f.value, r.floor, "a reader gets what a load has read")
	}

	return true
}
