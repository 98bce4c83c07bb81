package position_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// The protocol as a program: discrete steps, seeded random schedules, pods with caches, a database with snapshots, a
// notification queue in commit order, and every fault that can be said without a network: connections that die or go
// deaf, pauses, crashes, restarts, lost announcements, commits of unknown outcome. The pods' positions are the Tracker
// itself, so its rules and these cannot drift apart. Checked are G1 and G2 (nothing older than the bound is served
// while fresh) and G4 (nothing older than what was confirmed).

const (
	modelStale   = 300 // all times are steps, about a millisecond each
	modelLease   = 400
	modelBeat    = 100
	modelSweep   = 30
	modelKeep    = 900 // retention
	modelProbe   = 150
	modelHorizon = 5000
	modelKeys    = 3
	modelPods    = 3
)

// weakness switches one rule off; the model must then find a violation.
type weakness struct {
	announceInvisible, markWithoutFrom, markWithoutEvents, ignorePruned, ignoreEpoch, cursorOnly, freshWithoutBeat,
	confirmWithoutWait, confirmByCount, namesOutliveEpoch, vouchByUptime bool
}

type modelEvent struct {
	id        position.EventID
	epoch     string // the one it was named in
	key       int
	committed bool
}

type modelMessage struct {
	epoch    string
	events   []modelEvent
	mark     bool
	from, to position.Stamp
	ask      bool
}

type modelConn struct {
	alive, deaf bool
	queue       []modelMessage
}

type modelRow struct {
	epoch   string
	at      position.Stamp
	beats   int
	watched int // for how long the pod had watched the epoch at its last beat
}

type modelWrite struct {
	pod, key, commitAt, lostAt int
	xid                        uint64
	confirm                    bool
	told                       bool
	epoch                      string // when it began
}

type modelVersion struct {
	end int // when it was superseded, -1 if it was not
	xid uint64
}

type modelLoad struct {
	key, version, storeAt int
	detached              bool
}

type modelRead struct { // a difference on its way
	head    position.Difference
	events  []modelEvent
	applyAt int
}

type modelSweepRun struct {
	head   position.Difference
	events []modelEvent
	sendAt int
	ask    bool
}

// modelAnswer is a commit whose publisher has yet to note it.
type modelAnswer struct {
	event  modelEvent
	noteAt int
}

type modelConfirm struct {
	key, version int
	xid          uint64
	epoch        string
	begun, asked bool
	after        position.Stamp
	since        int
	counts       map[int]int
}

type modelPod struct {
	id, frozenUntil, controlDownUntil, connectAt, sweepAt, beatAt, heardAt, epochSince int
	track                                                                              position.Tracker
	conn                                                                               *modelConn
	catchUp                                                                            *modelRead // the listener's, after LISTEN
	read                                                                               *modelRead // the control loop's, at any time
	sweep                                                                              *modelSweepRun
	live, gap, ask, registered                                                         bool
	cache                                                                              map[int]int
	loads                                                                              []*modelLoad
	outbox                                                                             []modelEvent
	answers                                                                            []modelAnswer
	beat                                                                               *struct {
		answer            position.Snapshot
		epoch             string
		sent, answerAt    int
		taken, stillAlive bool
		watched           int
		watchedOf         string
	}
	confirms []*modelConfirm
	weakAt   int // freshWithoutBeat: when anything last arrived
}

type model struct {
	weak     weakness
	r        *rand.Rand
	now      int
	epochs   int
	next     uint64
	latest   uint64
	open     []uint64
	events   []modelEvent
	prunedTo position.Snapshot
	kept     []struct {
		at   int
		snap position.Snapshot
	}
	rows             map[int]*modelRow
	conns            []*modelConn
	pods             []*modelPod
	writes           []*modelWrite
	locked           [modelKeys]bool
	versions         [modelKeys][]modelVersion
	confirmed        [modelKeys]int
	failedOverAt     int
	violation        string
	served, confirms int
}

func newModel(seed uint64, weak weakness) *model {
	m := &model{weak: weak, r: rand.New(rand.NewPCG(seed, 1)), next: 100, latest: 100, epochs: 1, rows: map[int]*modelRow{}}
	for k := range m.versions {
		m.versions[k] = []modelVersion{{-1, 0}}
	}
	for i := range modelPods {
		m.pods = append(m.pods, &modelPod{id: i, cache: map[int]int{}, connectAt: m.r.IntN(600), heardAt: -1 << 20, weakAt: -1 << 20})
	}
	return m
}

// at makes a time of a step, for the Tracker.
func at(step int) time.Time { return t0.Add(time.Duration(step) * time.Millisecond) }

func (m *model) chance(n int) bool { return m.r.IntN(n) == 0 }

func (m *model) epoch() string { return fmt.Sprint("epoch", m.epochs) }

func (m *model) snapshot() position.Snapshot {
	s := position.Snapshot{Xmin: m.latest + 1, Xmax: m.latest + 1}
	for _, xid := range m.open {
		if xid <= m.latest {
			s.Xip = append(s.Xip, xid)
		}
	}
	if len(s.Xip) > 0 {
		s.Xmin = s.Xip[0]
	}
	return s
}

func (m *model) begin() uint64 {
	m.next++
	m.open = append(m.open, m.next)
	return m.next
}

func (m *model) end(xid uint64) {
	m.open = slices.DeleteFunc(m.open, func(x uint64) bool { return x == xid })
	m.latest = max(m.latest, xid)
}

func (m *model) notify(msg modelMessage) {
	m.end(m.begin())
	for _, c := range m.conns {
		if c.alive && !c.deaf {
			c.queue = append(c.queue, msg)
		}
	}
}

// readDifference is the statement: head and events in one snapshot.
func (m *model) readDifference(base position.Snapshot, of string, pos position.Stamp) (position.Difference, []modelEvent) {
	head := position.Difference{Epoch: m.epoch(), Current: m.snapshot(), PrunedTo: m.prunedTo, Base: base, BaseOf: of, Position: pos}
	if m.weak.cursorOnly {
		base.Xip = nil
	}
	var events []modelEvent
	for _, e := range m.events {
		if e.committed && of != "" && !base.Sees(e.id.XID) {
			events = append(events, e)
		}
	}
	return head, events
}

func (p *modelPod) invalidate(key int) {
	delete(p.cache, key)
	for _, l := range p.loads {
		l.detached = l.detached || l.key == key
	}
}

func (p *modelPod) fresh(m *model) bool {
	if m.weak.freshWithoutBeat {
		return m.now-p.weakAt < modelStale
	}
	t := p.track.FreshAsOf()
	return !t.IsZero() && at(m.now).Sub(t) < modelStale*time.Millisecond
}

func (m *model) applyDifference(p *modelPod, d *modelRead) {
	if d.head.BaseOf != d.head.Epoch && p.track.Epoch() == d.head.Epoch {
		return
	}

	reason := p.track.ResetReason(d.head)
	if m.weak.ignorePruned && reason == "pruned" {
		reason = ""
	}

	if m.weak.ignoreEpoch && reason == "epoch" {
		p.track.Rename(d.head.Epoch)
		reason = ""
	}

	p.weakAt = m.now
	if reason != "" {
		p.track.Reset()
		p.cache = map[int]int{}
		for _, l := range p.loads {
			l.detached = true
		}
		p.track.Start(d.head.Epoch, d.head.Current)
		p.epochSince = m.now
	} else {
		for _, e := range d.events {
			if p.track.Known(e.id) == 0 {
				p.invalidate(e.key)
			}
			p.track.Remember(e.id, position.Applied)
		}
		p.track.CaughtUp(d.head.Current)
	}

	p.track.Passed(p.track.Barrier())
}

func (m *model) applyMessage(p *modelPod, msg modelMessage) {
	if msg.epoch != p.track.Epoch() {
		p.gap = true
		return
	}

	p.weakAt = m.now
	for _, e := range msg.events {
		if p.track.Known(e.id) == 0 {
			p.invalidate(e.key)
		}
		p.track.Remember(e.id, position.Announced|position.Applied)
	}

	p.ask = p.ask || msg.ask

	if !msg.mark {
		return
	}

	p.heardAt = m.now
	p.sweepAt = m.now + modelSweep + m.r.IntN(40)

	if m.weak.markWithoutFrom {
		msg.from = position.Stamp{}
	}
	if p.track.Mark(msg.epoch, msg.from, msg.to) != position.Advance {
		p.gap = true
	}

	p.track.Passed(p.track.Barrier())
}

func (m *model) stepWriters() {
	if m.chance(12) && len(m.writes) < 6 {
		if key := m.r.IntN(modelKeys); !m.locked[key] {
			m.locked[key] = true
			d := m.r.IntN(40)
			if m.chance(15) {
				d = 200 + m.r.IntN(1200)
			}

			w := &modelWrite{pod: m.r.IntN(modelPods+1) - 1, key: key, commitAt: m.now + d, xid: m.begin(), confirm: m.chance(3), epoch: m.epoch()}
			if m.chance(6) && w.pod >= 0 {
				w.lostAt = m.now + 1 + m.r.IntN(d+1)
			}

			m.events = append(m.events, modelEvent{id: position.EventID{XID: w.xid}, key: key, epoch: w.epoch})
			m.writes = append(m.writes, w)
		}
	}

	kept := m.writes[:0]
	for _, w := range m.writes {
		// The answer is lost before the commit: nobody knows the outcome, which is still open.
		if w.lostAt > 0 && !w.told && m.now >= w.lostAt && m.pods[w.pod].frozenUntil <= m.now {
			w.told = true
			m.pods[w.pod].invalidate(w.key)
			m.pods[w.pod].outbox = append(m.pods[w.pod].outbox, m.eventOf(w.xid))
		}

		if m.now < w.commitAt {
			kept = append(kept, w)
			continue
		}

		m.commit(w)
	}

	m.writes = kept
}

func (m *model) eventOf(xid uint64) modelEvent {
	for _, e := range m.events {
		if e.id.XID == xid {
			return e
		}
	}
	return modelEvent{}
}

func (m *model) commit(w *modelWrite) {
	m.end(w.xid)

	for i := range m.events {
		m.events[i].committed = m.events[i].committed || m.events[i].id.XID == w.xid
	}

	v := m.versions[w.key]
	v[len(v)-1].end = m.now
	m.versions[w.key] = append(v, modelVersion{-1, w.xid})
	m.locked[w.key] = false
	if w.pod < 0 || w.told {
		return
	}

	p := m.pods[w.pod]
	p.invalidate(w.key)

	a := modelAnswer{event: m.eventOf(w.xid), noteAt: m.now}
	if m.chance(20) {
		a.noteAt += m.r.IntN(500) // the publisher's goroutine has to wait for its turn
	}

	p.answers = append(p.answers, a)
	if w.confirm {
		p.confirms = append(p.confirms, &modelConfirm{key: w.key, version: len(m.versions[w.key]) - 1, xid: w.xid, epoch: m.epoch()})
	}
}

func (m *model) stepPod(p *modelPod) {
	m.stepListener(p)
	m.stepPublishers(p)

	control := m.now >= p.controlDownUntil
	if control {
		if !p.registered {
			m.rows[p.id] = &modelRow{}
			m.end(m.begin())
			p.registered = true
		}

		m.stepReads(p)
		m.stepAnnouncer(p)
		m.stepBeat(p)
		m.stepSweep(p)
	}

	m.stepConfirms(p, control)
	m.stepCache(p)
}

func (m *model) stepListener(p *modelPod) {
	if p.conn != nil && !p.conn.alive {
		p.conn, p.live, p.catchUp = nil, false, nil
		p.connectAt = m.now + m.r.IntN(30)
	}
	switch {
	case p.conn == nil:
		if m.now >= p.connectAt {
			p.conn = &modelConn{alive: true}
			m.conns = append(m.conns, p.conn)
		}
	case p.live:
		if len(p.conn.queue) > 0 {
			msg := p.conn.queue[0]
			p.conn.queue = p.conn.queue[1:]
			m.applyMessage(p, msg)
		}
	case p.catchUp == nil: // LISTEN was before, so nothing falls between
		p.catchUp = m.newRead(p)
	case m.now >= p.catchUp.applyAt:
		m.applyDifference(p, p.catchUp)
		p.catchUp, p.live = nil, true
	}
}

func (m *model) newRead(p *modelPod) *modelRead {
	base, ok := p.track.Base()
	of := p.track.Epoch()
	if !ok {
		of = ""
	}
	head, events := m.readDifference(base, of, p.track.Received())
	return &modelRead{head, events, m.now + m.r.IntN(6)}
}

// stepReads reads the difference when something may have been missed, and steadily while notifications do not arrive;
// then the listening connection is made anew now and then.
func (m *model) stepReads(p *modelPod) {
	if p.read != nil {
		if m.now >= p.read.applyAt {
			m.applyDifference(p, p.read)
			p.read = nil
		}
		return
	}

	deaf := m.now-p.heardAt > modelProbe
	if p.gap || deaf && m.chance(3) {
		p.gap = false
		p.read = m.newRead(p)
	}

	if deaf && p.conn != nil && m.chance(40) {
		p.conn.alive = false
	}
}

// stepPublishers is what follows a commit on the publisher's goroutine. A name counts only in its own epoch.
func (m *model) stepPublishers(p *modelPod) {
	p.answers = slices.DeleteFunc(p.answers, func(a modelAnswer) bool {
		if m.now < a.noteAt {
			return false
		}
		if a.event.epoch == p.track.Epoch() || m.weak.namesOutliveEpoch {
			p.track.Remember(a.event.id, position.Applied)
		}
		if !m.chance(5) { // else the publisher dies before it announces
			p.outbox = append(p.outbox, a.event)
		}
		return true
	})
}

func (m *model) stepAnnouncer(p *modelPod) {
	if len(p.outbox) == 0 || !m.chance(4) || p.track.Epoch() != m.epoch() {
		return
	}
	e := p.outbox[0]
	p.outbox = p.outbox[1:]
	if e.epoch != m.epoch() && !m.weak.namesOutliveEpoch {
		return
	}
	if e.id.XID != 0 && (m.weak.announceInvisible || m.snapshot().Sees(e.id.XID)) {
		m.notify(modelMessage{epoch: m.epoch(), events: []modelEvent{e}})
	}
}

func (m *model) stepBeat(p *modelPod) {
	if p.beat == nil {
		if (m.now >= p.beatAt || p.ask) && p.track.Epoch() != "" {
			p.ask, p.beatAt = false, m.now+modelBeat
			p.beat = &struct {
				answer            position.Snapshot
				epoch             string
				sent, answerAt    int
				taken, stillAlive bool
				watched           int
				watchedOf         string
			}{watched: m.now - p.epochSince, watchedOf: p.track.Epoch(), sent: m.now, answerAt: m.now + 1 + m.r.IntN(4), stillAlive: true}
		}
		return
	}

	b := p.beat
	if m.now < b.answerAt {
		return
	}

	if !b.taken { // the server takes the snapshot somewhere between, and the answer travels
		b.taken, b.answer, b.epoch = true, m.snapshot(), m.epoch()
		row := m.rows[p.id]
		if row == nil {
			p.registered, p.beat = false, nil
			return
		}

		row.epoch, row.at, row.beats, row.watched = p.track.Epoch(), p.track.Position(), row.beats+1, b.watched
		if row.epoch != b.watchedOf {
			row.watched = 0
		}
		if m.weak.vouchByUptime {
			row.watched = m.now
		}

		m.end(m.begin())
		b.answerAt = m.now + m.r.IntN(20)
		return
	}

	p.beat = nil
	if !p.track.Beat(b.epoch, b.answer, at(b.sent)) {
		p.gap = true
	}
}

func (m *model) stepSweep(p *modelPod) {
	if s := p.sweep; s != nil {
		if m.now < s.sendAt {
			return
		}

		p.sweep = nil

		if s.head.Epoch != m.epoch() || m.chance(60) { // the server is another, or the NOTIFY fails
			return
		}
		if m.weak.markWithoutEvents {
			s.events = nil
		}

		p.track.Sent(s.head.Current)
		m.notify(modelMessage{epoch: m.epoch(), events: s.events, mark: true, from: s.head.Base.Stamp(), to: s.head.Current.Stamp(), ask: s.ask})
		m.prune()
		return
	}

	ask := slices.ContainsFunc(p.confirms, func(c *modelConfirm) bool { return c.begun && !c.asked })
	if !p.live || !p.fresh(m) || p.track.Epoch() != m.epoch() || !ask && m.now < p.sweepAt {
		return
	}

	p.sweepAt = m.now + modelSweep + m.r.IntN(30)
	base, ok := p.track.SweepBase()
	if !ok {
		return
	}

	head, events := m.readDifference(base, p.track.Epoch(), p.track.Received())
	if !base.Stamp().AtLeast(head.PrunedTo.Stamp()) {
		p.gap = true
		return
	}

	events = slices.DeleteFunc(events, func(e modelEvent) bool { return p.track.Known(e.id)&position.Announced != 0 })
	p.sweep = &modelSweepRun{head: head, events: events, sendAt: m.now + m.r.IntN(8), ask: ask}
	if m.chance(40) {
		p.sweep.sendAt += m.r.IntN(400) // a slow sweep: others overtake it
	}

	for _, c := range p.confirms {
		c.asked = c.asked || c.begun
	}
}

func (m *model) prune() {
	m.kept = append(m.kept, struct {
		at   int
		snap position.Snapshot
	}{m.now, m.snapshot()})
	i := 0
	for i < len(m.kept) && m.kept[i].at < m.now-modelKeep {
		i++
	}

	if i == 0 {
		return
	}

	to := m.kept[i-1].snap
	m.kept = m.kept[i:]
	if !to.Stamp().AtLeast(m.prunedTo.Stamp()) {
		return
	}

	m.events = slices.DeleteFunc(m.events, func(e modelEvent) bool { return e.committed && to.Sees(e.id.XID) })
	m.prunedTo = to
}

func (m *model) stepConfirms(p *modelPod, control bool) {
	p.confirms = slices.DeleteFunc(p.confirms, func(c *modelConfirm) bool {
		if !c.begun {
			if !control {
				return false
			}
			if c.epoch != m.epoch() {
				return true // refused
			}

			c.begun, c.after, c.since, c.counts = true, m.snapshot().Stamp(), m.now, map[int]int{}
			for id, row := range m.rows {
				c.counts[id] = row.beats
			}

			return false
		}

		if m.now-c.since >= modelLease {
			return m.confirm(c)
		}
		if !control || p.track.Epoch() != m.epoch() || c.epoch != m.epoch() ||
			m.watched(p) < modelLease && !m.weak.confirmWithoutWait {
			return false
		}

		for id, row := range m.rows {
			if m.weak.confirmByCount {
				if row.beats <= c.counts[id] {
					return false
				}
			} else if row.epoch != c.epoch || !row.at.AtLeast(c.after) {
				return false
			}
		}

		return m.confirm(c)
	})
}

// watched is for how long some pod is known to have watched this epoch: what matters is that it is older than a lease.
func (m *model) watched(p *modelPod) int {
	longest := m.now - p.epochSince
	for _, row := range m.rows {
		if row.epoch == m.epoch() {
			longest = max(longest, row.watched)
		}
	}
	return longest
}

func (m *model) confirm(c *modelConfirm) bool {
	m.confirms++
	m.confirmed[c.key] = max(m.confirmed[c.key], c.version)
	return true
}

func (m *model) stepCache(p *modelPod) {
	key := m.r.IntN(modelKeys)
	if version, ok := p.cache[key]; ok && p.fresh(m) {
		m.served++
		if version < m.confirmed[key] {
			m.violation = fmt.Sprintf("G4 at %d: pod %d serves version %d of %d, confirmed is %d", m.now, p.id, version, key, m.confirmed[key])
		} else if version >= len(m.versions[key]) {
			if m.now-m.failedOverAt > modelStale+5 {
				m.violation = fmt.Sprintf("G1/G2 at %d: pod %d serves version %d of %d, lost in a failover %d ago", m.now, p.id, version, key, m.now-m.failedOverAt)
			}
		} else if end := m.versions[key][version].end; end >= 0 && m.now-end > modelStale+5 {
			m.violation = fmt.Sprintf("G1/G2 at %d: pod %d serves version %d of %d, superseded %d ago", m.now, p.id, version, key, m.now-end)
		}
	} else if !ok && m.chance(4) && p.track.Epoch() != "" {
		p.loads = append(p.loads, &modelLoad{key: key, version: len(m.versions[key]) - 1, storeAt: m.now + m.r.IntN(8)})
	}

	p.loads = slices.DeleteFunc(p.loads, func(l *modelLoad) bool {
		if !l.detached && m.now >= l.storeAt {
			p.cache[l.key] = l.version
		}
		return l.detached || m.now >= l.storeAt
	})
}

func (m *model) stepFaults() {
	p := m.pods[m.r.IntN(modelPods)]
	if m.chance(500) {
		p.frozenUntil = m.now + m.r.IntN(700)
	}
	if m.chance(400) && p.conn != nil {
		p.conn.deaf = true
	}
	if m.chance(400) && p.conn != nil {
		p.conn.alive = false
	}
	if m.chance(400) {
		p.controlDownUntil = m.now + m.r.IntN(600)
	}

	crash, restart := m.chance(2500), m.chance(3000)
	if !crash && !restart {
		return
	}

	for _, c := range m.conns {
		c.alive = false
	}

	m.conns = nil
	for _, w := range m.writes {
		m.end(w.xid)
		m.locked[w.key] = false
		m.events = slices.DeleteFunc(m.events, func(e modelEvent) bool { return e.id.XID == w.xid })
	}

	m.writes = nil
	for _, p := range m.pods {
		p.beat, p.sweep = nil, nil
	}

	if crash { // the log goes, and with it its epoch; the rows of the pods are logged and stay
		m.epochs++
		m.events, m.kept, m.prunedTo = nil, nil, position.Snapshot{}
		if m.chance(2) { // but for a standby that took over and lacks them
			m.rows = map[int]*modelRow{}
			m.loseLatest()
		}
	}
}

// loseLatest is what an asynchronous standby lacks that took over: the latest transactions. It gives their ids again.
func (m *model) loseLatest() {
	m.failedOverAt = m.now
	last := m.latest - min(uint64(m.r.IntN(60)), m.latest-101)
	m.next, m.latest = last, last
	m.open = slices.DeleteFunc(m.open, func(xid uint64) bool { return xid > last })
	for k, v := range m.versions {
		for len(v) > 1 && v[len(v)-1].xid > last {
			v = v[:len(v)-1]
			v[len(v)-1].end = -1
		}
		m.versions[k], m.confirmed[k] = v, min(m.confirmed[k], len(v)-1)
	}

	for _, p := range m.pods { // what was lost cannot be confirmed: the asynchronous standby's price, not the protocol's
		for _, c := range p.confirms {
			c.version = min(c.version, len(m.versions[c.key])-1)
		}
	}
}

func (m *model) run() {
	for m.now < modelHorizon && m.violation == "" {
		m.now += m.r.IntN(2)
		m.stepWriters()
		m.stepFaults()
		for _, i := range m.r.Perm(modelPods) {
			if p := m.pods[i]; m.now >= p.frozenUntil && m.violation == "" && !m.chance(4) {
				m.stepPod(p)
			}
		}
	}
}

var seeds = flag.Int("seeds", 250, "how many schedules TestModel runs with all rules")

// TestModel: with all rules no schedule violates a guarantee, and with one rule less some schedule does.
func TestModel(t *testing.T) {
	t.Parallel()

	t.Run("all rules", func(t *testing.T) {
		t.Parallel()
		served, confirms := 0, 0
		for seed := range uint64(*seeds) {
			m := newModel(seed, weakness{})
			m.run()
			require.Empty(t, m.violation, "seed %d", seed)
			served, confirms = served+m.served, confirms+m.confirms
		}

		require.Greater(t, served, 100**seeds, "the model must serve from its caches, or it shows nothing")
		require.Greater(t, confirms, *seeds)
	})

	for name, control := range map[string]struct {
		weak weakness
		from uint64 // where to begin the search: shortly before a schedule that needs the rule
	}{
		"announcement before visibility": {weakness{announceInvisible: true}, 0},
		"mark without from":              {weakness{markWithoutFrom: true}, 0},
		"mark without events":            {weakness{markWithoutEvents: true}, 0},
		"pruned_to ignored":              {weakness{ignorePruned: true}, 800},
		"epoch ignored":                  {weakness{ignoreEpoch: true}, 0},
		"cursor instead of snapshot":     {weakness{cursorOnly: true}, 0},
		"fresh without beat":             {weakness{freshWithoutBeat: true}, 0},
		"confirmed without epoch wait":   {weakness{confirmWithoutWait: true}, 0},
		"confirmed by count":             {weakness{confirmByCount: true}, 0},
		"vouched by uptime":              {weakness{vouchByUptime: true}, 390},
		"names outlive their epoch":      {weakness{namesOutliveEpoch: true}, 160},
	} {
		t.Run("without: "+name, func(t *testing.T) {
			t.Parallel()

			for seed := control.from; seed < control.from+20_000; seed++ {
				m := newModel(seed, control.weak)
				if m.run(); m.violation != "" {
					t.Logf("seed %d: %s", seed, m.violation)
					return
				}
			}

			t.Fatal("no schedule needs this rule")
		})
	}
}
