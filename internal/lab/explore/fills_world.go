package main

import (
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/fill"
	"github.com/pgcoherence/pgcoherence/internal/fill/history"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// fillWorld is a small cluster as the fills of its caches see it: one row with one key and at most one tag, transactions
// that write it, pods that are told of them in any order, a tier that all pods share, and a standby. Which values are
// stored, served, joined and labelled is decided by the shipped rules of internal/fill.
type fillWorld struct {
	scope   *fillScope
	db      database
	pods    []fillPod
	ends    []int8 // when each transaction committed
	tier    map[string]tierValue
	replica replica
	left    struct{ failovers, pauses, replays int8 }
	broken  string
}

// tierValue is what is in the tier under the key of one epoch.
type tierValue struct {
	value int8
	label fill.Label
}

// replica is what a standby has replayed.
type replica struct {
	value int8
	at    position.Snapshot
}

// The names on the wire.
const (
	fillKey = "k"
	fillTag = "~#t"
)

// podBus is a pod's bus, as its cache sees it.
type podBus struct {
	epoch          string
	at             position.Snapshot
	ok             bool
	proof, expired int8
}

// ProvenSince implements history.Source.
func (b *podBus) ProvenSince(t time.Time) bool { return int64(b.proof) > t.Unix() }

// Position implements history.Source.
func (b *podBus) Position() (epoch string, applied position.Snapshot, ok bool) {
	if !b.ok {
		return "", position.Snapshot{}, false
	}

	return b.epoch, b.at, true
}

// trust is what a reader may be served now, by the shipped rule.
func (b *podBus) trust() fill.Trust {
	age := time.Duration(-1)
	switch {
	case b.proof > b.expired:
		age = 0
	case b.proof > 0:
		age = time.Second
	}

	return fill.TrustAt(age, time.Second, 0)
}

// fillPod is a pod with a cache.
type fillPod struct {
	bus     *podBus
	epoch   *atomic.Uint32
	judge   fill.Judge
	entry   *fillEntry
	loads   [2]*fillLoad
	newest  int8 // the slot of the key's newest load, nothing if it has ended
	readers []fillReader
	sealed  []tierValue // on their way to the tier
	locked  bool        // the key's shard is, between a load's decision and its end

	known    []bool   // by transaction: the event was applied, or is included in the position
	applying int8     // the event that is being applied, nothing if none is
	reset    int8     // how far a reset is, 0 if there is none
	found    struct { // by the read that a reset starts from
		epoch, clock int8
		at           position.Snapshot
	}
	beat *beat

	floor int8 // readers from now on get nothing that was replaced at or before this time
	left  struct{ beats, resets, gets, fresh, after, refreshes int8 }
}

type fillEntry struct {
	value int8
	epoch uint32
	marks []*fill.TagMark
}

// fillLoad is a load of the key.
type fillLoad struct {
	fill.Load

	noTier  bool
	primary bool // the loader is told to read from the primary
	since   int8 // when it began to read
	late    bool

	// Steps that are half done: the epoch was read and the position was not yet; a value was read and is not decided on;
	// it is decided on and not stored.
	begun    bool
	epoch    uint32
	place    fill.Place
	tierRead bool // the tier was read
	checked  bool // a standby was not behind
	has      bool
	value    int8
	from     fill.ReadView
	label    *fill.Label
	decided  bool
	decision fill.Admission
	stored   bool // in the cache; its label for the tier is not computed yet
}

type readMode uint8

const (
	modeGet readMode = iota
	modeFresh
	modeRefresh // a load ahead of the entry's end, for no reader
)

// fillReader is a reader that has not got its value.
type fillReader struct {
	mode  readMode
	floor int8
	asked uint64 // tags invalidated before it asked
	stage int8   // 0: it asks whether the bus is fresh; 1: it reads the epoch; 2: the position, and looks up; 3: it waits
	trust fill.Trust
	epoch uint32
	place fill.Place
	load  int8
}

func newFillWorld(s *fillScope) *fillWorld {
	w := &fillWorld{scope: s, tier: map[string]tierValue{}}
	w.db = database{next: 1, latest: 1, clock: 1, epochBorn: 1, values: make([]value, 1, 4), txs: make([]transaction, len(s.events))}
	w.left.failovers, w.left.pauses, w.left.replays = int8(s.failovers), int8(s.pauses), int8(s.replays)
	w.ends, w.replica = make([]int8, len(s.events)), replica{at: w.db.snapshot()}

	for i := range s.pods {
		p := fillPod{
			bus:   &podBus{epoch: epochName(0), at: w.db.snapshot(), ok: true, proof: 1},
			epoch: new(atomic.Uint32), newest: nothing, applying: nothing, known: make([]bool, len(s.events)),
		}
		memory := history.New(p.bus, s.memory)
		memory.Reset(at(0))
		p.judge = fill.Judge{Bus: p.bus, History: memory, Tags: fill.NewTagBook(), Epoch: p.epoch, Guards: s.off.guards}
		if s.cached && i == reader {
			marks, _ := p.judge.Tags.Acquire(&fill.Start{}, s.tags())
			p.entry = &fillEntry{marks: marks}
		}
		b := s.budgets[i]
		p.left.beats, p.left.resets, p.left.gets = int8(b.beats), int8(b.resets), int8(b.gets)
		p.left.fresh, p.left.after, p.left.refreshes = int8(b.fresh), int8(b.after), int8(b.refreshes)
		w.pods = append(w.pods, p)
	}

	return w
}

func (s *fillScope) tags() []string {
	if !s.tagged {
		return nil
	}

	return []string{"t"}
}

func (s *fillScope) wire() []string {
	if !s.tagged {
		return nil
	}

	return []string{fillTag}
}

func (w *fillWorld) clone() *fillWorld {
	c := *w
	c.db, c.ends = w.db.clone(), slices.Clone(w.ends)
	c.tier = make(map[string]tierValue, len(w.tier))
	for k, v := range w.tier {
		c.tier[k] = v
	}
	c.pods = make([]fillPod, len(w.pods))
	for i := range w.pods {
		c.pods[i] = w.pods[i].clone()
	}

	return &c
}

func (p *fillPod) clone() fillPod {
	c := *p
	bus := *p.bus
	c.bus, c.epoch = &bus, new(atomic.Uint32)
	c.epoch.Store(p.epoch.Load())

	tags, start, marks := p.judge.Tags.Clone()
	c.judge.Bus, c.judge.History, c.judge.Tags, c.judge.Epoch = c.bus, p.judge.History.Clone(c.bus), tags, c.epoch
	if p.entry != nil {
		e := *p.entry
		e.marks = marks(e.marks)
		c.entry = &e
	}
	for i, f := range p.loads {
		if f != nil {
			one := *f
			one.Began = start(one.Began)
			c.loads[i] = &one
		}
	}
	c.readers, c.sealed, c.known = slices.Clone(p.readers), slices.Clone(p.sealed), slices.Clone(p.known)

	return c
}

func (w *fillWorld) violation() string { return w.broken }

// check sets broken if a Get that comes now would be served from the cache what the guarantees forbid.
func (w *fillWorld) check() {
	for i := range w.pods {
		p := &w.pods[i]
		if !p.servable() || p.bus.trust() == fill.TrustNothing {
			continue
		}
		w.served(i, p.entry.value, max(p.floor, p.bus.proof), "a Get is served from the cache")
	}
}

// servable reports whether the entry may be served to those who may trust the cache, by the shipped rule.
func (p *fillPod) servable() bool {
	return p.entry != nil && fill.Servable(p.entry.epoch, p.epoch.Load(), 1, 0, p.entry.marks)
}

// served checks a value that a reader gets.
func (w *fillWorld) served(pod int, v, floor int8, how string) {
	if ended := w.db.values[v].ended; ended != 0 && ended <= floor {
		w.broken = fmt.Sprintf("pod %d: %s: value %d, replaced at %d; nothing replaced up to %d may be returned (G2, G3)", pod, how, v, ended, floor)
	}
}

func (w *fillWorld) next() iter.Seq2[step, state] {
	return func(yield func(step, state) bool) {
		for _, s := range w.steps() {
			n := w.clone()
			n.take(s)
			if n.broken == "" {
				n.check()
			}
			if !yield(s, n) {
				return
			}
		}
	}
}

func (w *fillWorld) append(b []byte) []byte {
	b = w.db.append(b)
	for _, at := range w.ends {
		b = append(b, byte(at))
	}
	for _, epoch := range []string{"", epochName(0), epochName(1)} {
		v, ok := w.tier[epoch]
		b = append(b, bit(ok), byte(v.value))
		b = appendLabel(b, &v.label)
	}
	b = append(b, byte(w.replica.value))
	b = append(append(b, w.replica.at.String()...), 0)
	for i := range w.pods {
		b = w.pods[i].append(b)
	}

	return append(b, byte(w.left.failovers), byte(w.left.pauses), byte(w.left.replays))
}

func (p *fillPod) append(b []byte) []byte {
	b = append(append(b, p.bus.epoch...), 0)
	b = append(append(b, p.bus.at.String()...), 0)
	b = append(b, bit(p.bus.ok), byte(p.bus.proof), byte(p.bus.expired), byte(p.epoch.Load()), bit(p.locked), byte(p.newest))
	b = p.judge.Tags.AppendState(p.judge.History.AppendState(b))

	if e := p.entry; e == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1, byte(e.value), byte(e.epoch), byte(len(e.marks)), bit(fill.Alive(e.marks)))
	}
	for _, f := range p.loads {
		b = f.append(b)
	}
	b = append(b, byte(len(p.readers)))
	for _, r := range p.readers {
		b = append(b, byte(r.mode), byte(r.floor), byte(r.asked), byte(r.stage), byte(r.trust), byte(r.epoch), byte(r.load))
		b = appendPlace(b, r.place)
	}
	b = append(b, byte(len(p.sealed)))
	for _, v := range p.sealed {
		b = appendLabel(append(b, byte(v.value)), &v.label)
	}

	for _, known := range p.known {
		b = append(b, bit(known))
	}
	b = append(b, byte(p.applying), byte(p.reset), byte(p.found.epoch), byte(p.found.clock))
	b = append(append(b, p.found.at.String()...), 0)
	if p.beat != nil {
		b = append(b, 1, byte(p.beat.sent))
		b = append(append(b, p.beat.epoch...), 0)
		b = append(append(b, p.beat.snapshot.String()...), 0)
	} else {
		b = append(b, 0)
	}
	l := p.left

	return append(b, byte(p.floor), byte(l.beats), byte(l.resets), byte(l.gets), byte(l.fresh), byte(l.after), byte(l.refreshes))
}

func (f *fillLoad) append(b []byte) []byte {
	if f == nil {
		return append(b, 0)
	}
	b = f.AppendState(append(b, 1))
	b = append(b, bit(f.noTier), bit(f.primary), byte(f.since), bit(f.late), bit(f.begun), byte(f.epoch), bit(f.tierRead), bit(f.checked), bit(f.has),
		byte(f.value), bit(f.from.Standby), bit(f.decided), bit(f.stored), bit(f.decision.Behind), bit(f.decision.Late))
	b = append(append(b, f.decision.Refused...), 0)
	b = append(append(b, f.from.At.String()...), 0)
	b = appendPlace(b, f.place)

	return appendLabel(b, f.label)
}

func appendPlace(b []byte, p fill.Place) []byte {
	b = append(append(b, p.Epoch...), 0)
	b = append(append(b, p.At.String()...), 0)

	return append(p.Mark.AppendState(b), bit(p.OK))
}

func appendLabel(b []byte, l *fill.Label) []byte {
	if l == nil {
		return append(b, 0)
	}
	b = append(append(append(b, 1), l.Epoch...), 0)
	b = append(append(b, l.At.String()...), 0)
	b = append(b, byte(len(l.Extras)))
	for _, xid := range l.Extras {
		b = binary.AppendUvarint(b, xid)
	}

	return b
}
