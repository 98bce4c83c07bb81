package sessionstore

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/pgcoherence/pgcoherence/cache"
)

// lookups bounds how many sessions are looked up in the database at once, and how many wait for that: a flood of
// invented tokens costs neither memory nor the pool's connections.
type lookups struct {
	permits chan struct{}
	most    int64
	waiting atomic.Int64
}

func newLookups(atOnce, waiting int) lookups {
	return lookups{permits: make(chan struct{}, atOnce), most: int64(waiting)}
}

func (l *lookups) enter(ctx context.Context) error {
	select {
	case l.permits <- struct{}{}:
		return nil
	default:
	}
	defer l.waiting.Add(-1)
	if l.waiting.Add(1) > l.most {
		return ErrBusy
	}

	select {
	case l.permits <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *lookups) leave() { <-l.permits }

// load is the cache's loader. What is unknown is an error of ours and not the cache's, so it is not remembered: the
// memory is for sessions.
func (s *Store[T]) load(ctx context.Context, k key) (cache.Loaded[*row[T]], error) {
	if err := s.lookups.enter(ctx); err != nil {
		return cache.Loaded[*row[T]]{}, err
	}
	defer s.lookups.leave()
	s.stats.lookups.Add(1)
	s.loadTierKey(ctx)
	r, err := s.read(ctx, s.pool, k)
	if err != nil {
		return cache.Loaded[*row[T]]{}, err
	}

	l := cache.Loaded[*row[T]]{Value: r, TTL: s.keep(r)}
	if r.tag != "" {
		l.Tags = []string{r.tag}
	}

	return l, nil
}

// present is a token that has the right form, ready to be looked for.
type present struct {
	secret secret
	key    key
	proof  proof
	sealed string
}

func (s *Store[T]) present(token string) (p present, err error) {
	if p.secret, p.sealed, err = s.sealer.parse(token); err == nil {
		p.key, p.proof = p.secret.hash()
	}
	return p, err
}

// find is the valid session of a token, from memory if that is in sync.
func (s *Store[T]) find(ctx context.Context, p *present) (*row[T], time.Duration, error) {
	if p.sealed != "" {
		if _, err := s.rows.Peek(p.key); err != nil {
			if err := s.sealer.check(&p.secret, p.sealed); err != nil {
				return nil, 0, err
			}
		}
	}

	r, err := s.rows.Get(ctx, p.key)
	if err != nil {
		return nil, 0, s.explainFind(err)
	}

	elapsed, err := s.judge(r, p)
	if err != nil && !r.final() && p.proof.equal(r.proof) {
		return s.findFresh(ctx, p)
	}

	if errors.Is(err, ErrRotated) {
		s.reused(ctx, r)
	}
	return r, elapsed, err
}

// reused reports that a token came back which was replaced, and whose grace is over.
func (s *Store[T]) reused(ctx context.Context, r *row[T]) {
	if r.reported.CompareAndSwap(false, true) {
		s.emit(ctx, []Event{{Kind: EventReused, ID: r.info.ID, User: r.info.User}}, false)
	}
}

// findFresh is the same from the database.
func (s *Store[T]) findFresh(ctx context.Context, p *present) (*row[T], time.Duration, error) {
	if err := s.sealer.check(&p.secret, p.sealed); err != nil {
		return nil, 0, err
	}
	r, err := s.rows.GetFresh(ctx, p.key)
	if err != nil {
		return nil, 0, s.explainFind(err)
	}
	elapsed, err := s.judge(r, p)
	if errors.Is(err, ErrRotated) {
		s.reused(ctx, r)
	}
	return r, elapsed, err
}

// known keeps invented tokens away from what takes a connection for a transaction: they cost a bounded
// lookup, like those of Get. ErrNotFound.
func (s *Store[T]) known(ctx context.Context, p *present) error {
	if err := s.sealer.check(&p.secret, p.sealed); err != nil {
		return err
	}
	r, err := s.rows.Get(ctx, p.key)
	if err != nil {
		return s.explainFind(err)
	}
	if !p.proof.equal(r.proof) {
		return ErrNotFound
	}
	return nil
}

// judge reports whether a row is a valid session of this very token.
func (s *Store[T]) judge(r *row[T], p *present) (elapsed time.Duration, err error) {
	if !p.proof.equal(r.proof) {
		return 0, ErrNotFound
	}
	if !s.weak.KeepExpired {
		elapsed = r.elapsed()
	}
	return elapsed, r.check(elapsed)
}

func (s *Store[T]) explainFind(err error) error {
	if errors.Is(err, ErrNotFound) {
		return ErrNotFound
	}
	return explain("get", err)
}
