package sessionstore

import (
	"context"
	"sync"

	"github.com/google/uuid"
)

// localStreams are the contexts of Bind that have not ended.
type localStreams struct {
	mu      sync.Mutex
	running bool
	closed  bool
	all     map[*localStream]struct{}
}

type localStream struct {
	id     uuid.UUID
	cancel context.CancelCauseFunc
}

func (l *localStreams) init() { l.all = map[*localStream]struct{}{} }

func (l *localStreams) open() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running = true
}

// close ends all, and those that come.
func (l *localStreams) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.running, l.closed = false, true
	for b := range l.all {
		b.cancel(ErrClosed)
	}
	clear(l.all)
}

func (l *localStreams) add(b *localStream) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.running {
		return ErrNotRunning
	}
	l.all[b] = struct{}{}
	return nil
}

func (l *localStreams) remove(b *localStream) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.all, b)
}

func (l *localStreams) list() []*localStream {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := make([]*localStream, 0, len(l.all))
	for b := range l.all {
		all = append(all, b)
	}
	return all
}

// Bind implements Sessions.
func (s *LocalStore[T]) Bind(ctx context.Context, got *Session[T]) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	if got == nil || got.ID == uuid.Nil {
		cancel(ErrInvalid)
		return ctx, func() {}
	}
	b := &localStream{got.ID, cancel}
	if err := s.streams.add(b); err != nil {
		cancel(err)
		return ctx, func() {}
	}
	context.AfterFunc(ctx, func() { s.streams.remove(b) })
	s.checkStream(b) // it may have ended since it was read
	return ctx, func() { cancel(context.Canceled) }
}

// checkStreams ends the streams of sessions that are over.
func (s *LocalStore[T]) checkStreams() {
	for _, b := range s.streams.list() {
		s.checkStream(b)
	}
}

func (s *LocalStore[T]) checkStream(b *localStream) {
	s.mu.RLock()
	rec, ok := s.sessions[b.id]
	err := ErrNotFound
	if ok {
		err = s.row(rec, rec.Key, s.now()).check(0)
	}
	s.mu.RUnlock()
	if err != nil {
		b.cancel(err)
	}
}
