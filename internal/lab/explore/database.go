package main

import (
	"slices"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

type txState uint8

const (
	unborn txState = iota
	open
	committed
	gone // aborted, or lost in a failover
)

// transaction writes the one row that caches contain, and an event.
type transaction struct {
	state    txState
	prepared bool
	logged   bool // its event is in the log
	lost     bool // its publisher does not know the outcome
	xid      uint64
	epoch    int8 // when it began
	value    int8 // what it wrote, once committed
}

// event is an event's name and the log epoch in which it got that name.
type event struct {
	xid   uint64
	epoch int8
}

// value is one state of the row. Zero is what was there at first.
type value struct {
	ended  int8   // the time from which the row has another value; 0 while it has not
	latest uint64 // the latest transaction id that had ended before it was written
}

// row is a pod's row, as its last heartbeat wrote it.
type row struct {
	exists bool
	epoch  string
	at     position.Stamp
	beats  int8
}

// message is a notification.
type message struct {
	epoch    int8
	events   []event
	mark     bool
	from, to position.Stamp
}

// database is the server: transactions, snapshots, the log, and its clock, which counts only what matters to the
// guarantees.
type database struct {
	next, latest uint64
	txs          []transaction
	values       []value
	current      int8
	before       []int8 // the values that the current one followed, oldest first
	prunedTo     position.Snapshot
	rows         []row
	epoch        int8
	epochBorn    int8
	clock        int8
}

func (d *database) clone() database {
	c := *d
	c.txs, c.values, c.before, c.rows = slices.Clone(d.txs), slices.Clone(d.values), slices.Clone(d.before), slices.Clone(d.rows)

	return c
}

// snapshot is what pg_current_snapshot() returns.
func (d *database) snapshot() position.Snapshot {
	s := position.Snapshot{Xmin: d.latest + 1, Xmax: d.latest + 1}
	for _, t := range d.txs {
		if t.state == open && t.xid <= d.latest {
			s.Xip = append(s.Xip, t.xid)
		}
	}
	slices.Sort(s.Xip)
	if len(s.Xip) > 0 {
		s.Xmin = s.Xip[0]
	}

	return s
}

func (d *database) begin(i int) {
	d.next++
	d.txs[i].state, d.txs[i].xid, d.txs[i].epoch, d.txs[i].logged = open, d.next, d.epoch, true
}

func (d *database) commit(i int) {
	t := &d.txs[i]
	d.clock++
	d.values[d.current].ended = d.clock
	d.values = append(d.values, value{latest: d.latest})
	d.latest = max(d.latest, t.xid)
	d.before = append(d.before, d.current)
	d.current = int8(len(d.values) - 1)
	t.state, t.value = committed, d.current
}

// stop ends all transactions that are not prepared. The log is gone if it was a crash.
func (d *database) stop(crash bool) {
	for i := range d.txs {
		if t := &d.txs[i]; t.state == open && !t.prepared {
			t.state = gone
			d.latest = max(d.latest, t.xid)
		}
	}
	if !crash {
		return
	}

	for i := range d.txs {
		d.txs[i].logged = false
	}
	d.prunedTo = position.Snapshot{}
	d.newEpoch()
}

func (d *database) newEpoch() {
	d.clock++
	d.epoch++
	d.epochBorn = d.clock
}

// lose undoes the commit of a value and everything after it: a standby that lacks these commits was promoted. It assigns
// the same transaction ids again, and the pods' rows are useless.
func (d *database) lose(from int8) {
	d.latest = d.values[from].latest
	d.next = d.latest

	for v := int(from); v < len(d.values); v++ {
		if d.values[v].ended == 0 {
			d.values[v].ended = d.clock
		}
	}
	for d.current >= from {
		last := len(d.before) - 1
		d.current, d.before = d.before[last], d.before[:last]
	}
	d.values[d.current].ended = 0

	for i := range d.txs {
		t := &d.txs[i]
		if t.state == committed && t.value >= from || t.state == open && t.xid > d.latest {
			t.state = gone
		}
	}
	clear(d.rows)
}

// difference reads the events that a base snapshot does not see, in one snapshot.
func (d *database) difference(base position.Snapshot, of string, at position.Stamp, off guards) (position.Difference, []event) {
	head := position.Difference{
		Epoch: epochName(d.epoch), Current: d.snapshot(), PrunedTo: d.prunedTo, Base: base, BaseOf: of, Position: at,
	}
	if off.cursorOnly {
		base.Xip = nil
	}

	var events []event
	for _, t := range d.txs {
		if t.state == committed && t.logged && of != "" && !base.Sees(t.xid) && !d.pruned(t) {
			events = append(events, event{t.xid, t.epoch})
		}
	}

	return head, events
}

func (d *database) pruned(t transaction) bool {
	return d.prunedTo.Xmax != 0 && d.prunedTo.Sees(t.xid)
}

func epochName(n int8) string { return string('a' + rune(n)) }
