package sessionstore

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
)

// streamTick is how often streams are checked without an event.
const streamTick = time.Second

// Bind returns a context for a stream of a session, such as SSE or a WebSocket. It ends when the session does,
// whichever pod ends it, and continues through rotation. context.Cause returns [ErrRevoked], [ErrExpired] (idle
// timeout or deadline; a stream is not a use, so call Touch for its traffic if it should be), [ErrNotFound],
// [ErrClosed] after the end of Run, or [ErrUnavailable] if for BindGrace neither the bus nor the database could say
// whether the session is valid. Call cancel when the stream ends. It needs Run: without it the context has already
// ended, with [ErrNotRunning].
func (s *Store[T]) Bind(ctx context.Context, got *Session[T]) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if got == nil || got.ID == uuid.Nil {
		cancel(ErrInvalid)
		return ctx, func() {}
	}

	b := &stream{id: got.ID.String(), cancel: cancel}
	if got.row != nil {
		b.tag = got.row.tag
	}

	if err := s.streams.add(b); err != nil {
		cancel(err)
		return ctx, func() {}
	}

	context.AfterFunc(ctx, func() { s.streams.remove(b) })
	return ctx, func() { cancel(context.Canceled) }
}

// runStreams looks at sessions when the bus says so, when their time is over, and while the bus cannot say.
func (s *Store[T]) runStreams(ctx context.Context) {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.streams.close()

	wg.Go(func() { s.runGrace(ctx) })
	tick := time.NewTicker(streamTick)
	defer tick.Stop()

	for {
		select {
		case <-ctx.Done():
			return
		case <-s.streams.wake:
		case <-tick.C:
		}

		fresh := s.bus.Fresh()
		if fresh {
			s.streams.fresh()
		}
		if ids := s.streams.doubtful(!fresh); len(ids) > 0 && !s.lookAt(ctx, ids) {
			// The tick tries again; runGrace ends those whose state was unknown for too long.
			s.log.DebugContext(ctx, "sessions of streams not looked at", slog.Int("streams", len(ids)))
		}
	}
}

// runGrace ends streams that neither the bus nor the database could vouch for in time. It asks no server, so however many
// streams there are and however slow the database is, none goes on for longer.
func (s *Store[T]) runGrace(ctx context.Context) {
	tick := time.NewTicker(min(streamTick, max(s.cfg.BindGrace/10, time.Millisecond)))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if s.bus.Fresh() {
			s.streams.fresh()
		}
		s.streams.endUnknown(s.cfg.BindGrace)
	}
}

const streamBatch = 1000

func (s *Store[T]) lookAt(ctx context.Context, ids []string) (ok bool) {
	ok = true
	for len(ids) > 0 {
		n := min(len(ids), streamBatch)
		batch := ids[:n]
		ids = ids[n:]
		asked := s.cfg.now()
		if !ok {
			s.streams.keepDoubt(batch) // nor will there be an event
			continue
		}
		found, err := s.standings(ctx, batch)
		if err != nil {
			s.streams.keepDoubt(batch)
			ok = false
			continue
		}
		s.streams.settle(batch, found, asked)
	}

	return ok
}

func (s *Store[T]) standings(ctx context.Context, ids []string) (map[string]standing, error) {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.LookupTimeout)
	defer cancel()
	rows, err := s.pool.Query(ctx, s.sql.bound, ids)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make(map[string]standing, len(ids))
	for rows.Next() {
		var id string
		var at standing
		var revoked bool
		var left int64
		if err := rows.Scan(&id, &at.tag, &revoked, &left); err != nil {
			return nil, err
		}
		at.left = micros(left)
		switch {
		case revoked:
			at.err = ErrRevoked
		case left <= 0:
			at.err = ErrExpired
		}
		found[id] = at // a renewed session's valid row comes after those that were revoked
	}

	return found, errors.Join(rows.Err())
}
