package sessionstore

import (
	"context"
	"encoding/hex"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

// localWrite is what one write changes: rows of the database, then the maps, then those who have to hear of it.
type localWrite struct {
	rows   []localRow
	apply  []func() // under both mutexes
	keys   []string // sessions that are no longer what they were
	events []Event
	ending bool // sessions may have ended: streams are checked
}

// changed notes the keys of a session that is no longer what it was.
func (w *localWrite) changed(rec *record) {
	for _, k := range rec.keys() {
		w.keys = append(w.keys, k.String())
	}
}

// write runs fn, which reads the maps and returns what to change, as the only write at the time. The change counts once
// the database has it.
func (s *LocalStore[T]) write(ctx context.Context, fn func(now time.Time, w *localWrite) error) (bus.Receipt, error) {
	w := &localWrite{}
	if err := s.writeLocked(ctx, fn, w); err != nil {
		return bus.Receipt{}, err
	}

	if w.ending {
		s.checkStreams()
	}
	s.form.emit(ctx, w.events, false)
	if len(w.keys) == 0 {
		return bus.Receipt{}, nil
	}
	return s.bus.Publish(context.WithoutCancel(ctx), bus.Event{Topic: Topic, Keys: w.keys})
}

func (s *LocalStore[T]) writeLocked(ctx context.Context, fn func(now time.Time, w *localWrite) error, w *localWrite) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.closed.Load() {
		return ErrClosed
	}
	if err := fn(s.now(), w); err != nil {
		return err
	}
	if err := s.store(ctx, w.rows); err != nil {
		return err
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	for _, apply := range w.apply {
		apply()
	}
	return nil
}

// putRecord replaces a session, or adds it.
func (s *LocalStore[T]) putRecord(w *localWrite, rec *record) {
	w.rows = append(w.rows, rowOf(kindSession, rec.Info.ID.String(), rec.withUse()))
	w.apply = append(w.apply, func() { s.put(rec) })
	w.changed(rec)
}

// endRecord empties a session and keeps it as ended.
func (s *LocalStore[T]) endRecord(w *localWrite, rec *record, now time.Time, why Reason) {
	ended := rec.copy()
	if ended.Revoked.IsZero() {
		ended.Revoked = now
	}
	ended.Reason, ended.Data, ended.Wrapped, ended.Salt = why, nil, nil, nil
	if ended.Before != nil {
		ended.Before.Wrapped = nil
	}
	ended.Version++
	s.putRecord(w, ended)
	w.ending = true
	w.events = append(w.events, Event{Kind: EventRevoked, ID: rec.Info.ID, User: rec.Info.User, Reason: why})
}

// raiseUser gives a user a new generation, so that all sessions and logins of the one before are over.
func (s *LocalStore[T]) raiseUser(w *localWrite, user string, forgotten time.Time) (gen int64) {
	s.last++
	d, u := userDigest(user), localUser{s.last, forgotten}
	w.rows = append(w.rows, rowOf(kindUser, hex.EncodeToString(d[:]), u))
	w.apply = append(w.apply, func() { s.users[d] = u })
	for id := range s.byUser[user] {
		w.changed(s.sessions[id])
	}
	w.ending = true
	return u.Gen
}

// Sweep deletes sessions that ended more than an hour ago, as Run does every SweepInterval.
func (s *LocalStore[T]) Sweep(ctx context.Context) error {
	const (
		afterEnd   = time.Hour
		longLogin  = 24 * time.Hour
		longForget = 7 * 24 * time.Hour
	)

	_, err := s.write(ctx, func(now time.Time, w *localWrite) error {
		for id, rec := range s.sessions {
			r := s.row(rec, rec.Key, now)
			if over := r.untilDeadline + afterEnd; over <= 0 || !rec.Revoked.IsZero() && now.Sub(rec.Revoked) > afterEnd ||
				rec.Info.Idle > 0 && r.sinceSeen > rec.Info.Idle+afterEnd {
				w.rows = append(w.rows, localRow{kind: kindSession, id: id.String()})
				w.apply = append(w.apply, func() { s.remove(id) })
			}
		}
		sweepMap(w, kindUser, s.users, func(u localUser) bool { return !u.Forgotten.IsZero() && now.Sub(u.Forgotten) > longForget })
		sweepMap(w, kindLogout, s.logouts, func(at time.Time) bool { return now.Sub(at) > longLogin })
		sweepMap(w, kindOneTime, s.oneTime, func(v localValue) bool { return now.Sub(v.Until) > afterEnd })
		sweepMap(w, kindRemembered, s.remembered, func(until time.Time) bool { return now.After(until) })
		return nil
	})

	return err
}

func sweepMap[V any](w *localWrite, kind string, all map[digest]V, over func(V) bool) {
	for d, v := range all {
		if over(v) {
			w.rows = append(w.rows, localRow{kind: kind, id: hex.EncodeToString(d[:])})
			w.apply = append(w.apply, func() { delete(all, d) })
		}
	}
}
