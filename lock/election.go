package lock

import (
	"context"
	"iter"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"github.com/jackc/pgx/v5"
)

// ElectionPrefix is what the lease keys of elections begin with.
const ElectionPrefix = "election/"

// Election chooses one leader among all processes that run it: whoever has the lease of its name. All methods are safe
// for concurrent use; each call of Run is a candidate of its own.
type Election struct {
	locker *Locker
	key    string

	mu    sync.Mutex
	terms map[*Term]struct{} // of this process, until the function that leads has returned
}

// Term is one time of leading.
type Term struct {
	// Lease is the leader's: its Token is larger than that of every leader before, its Guard ties transactions to the
	// term. It is released when the term ends.
	Lease *Lease

	resign context.CancelCauseFunc
	over   chan struct{} // closed when the term is over
}

// Election makes one by name. It starts nothing and does no I/O. The error is ErrKey.
func (l *Locker) Election(name string) (*Election, error) {
	if name == "" {
		return nil, checkKey(name)
	}
	key := ElectionPrefix + name
	if err := checkKey(key); err != nil {
		return nil, err
	}
	return &Election{locker: l, key: key, terms: map[*Term]struct{}{}}, nil
}

// Run takes part until ctx ends: whenever this process is elected it calls lead, whose context ends with ctx, when
// leadership is lost (cause: a *LostError) and after Resign (cause: ErrResigned). The term goes on until lead has
// returned, whatever becomes of its context. If it returns although its context has not ended, Run gives leadership up
// and returns its error. Else Run goes on, at the end of the queue of candidates. It returns nil when ctx ends.
func (e *Election) Run(ctx context.Context, lead func(ctx context.Context, term Term) error) error {
	for {
		lease, err := e.locker.Acquire(ctx, e.key)
		if err != nil {
			if ctx.Err() != nil {
				return nil //nolint:nilerr // the end of ctx is the end that was asked for
			}
			return err
		}
		byItself, err := e.serve(ctx, lease, lead)
		switch {
		case byItself:
			return err
		case ctx.Err() != nil:
			return nil
		case err != nil:
			e.locker.c.log.InfoContext(ctx, "term ended", slog.Any("error", err))
		}
	}
}

// serve is one term; byItself: it ended because lead returned, and not because its context had ended.
func (e *Election) serve(ctx context.Context, lease *Lease, lead func(ctx context.Context, term Term) error) (byItself bool, err error) {
	e.locker.c.announce(ctx, e.key)
	defer e.locker.c.announce(ctx, e.key)
	inner, resign := context.WithCancelCause(ctx)
	defer resign(nil)
	term := e.begin(lease, resign)
	defer e.end(term)
	err = lease.run(inner, func(ctx context.Context, _ *Lease) error {
		err := lead(ctx, *term)
		byItself = ctx.Err() == nil
		return err
	})
	return byItself, err
}

func (e *Election) begin(lease *Lease, resign context.CancelCauseFunc) *Term {
	term := &Term{Lease: lease, resign: resign, over: make(chan struct{})}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.terms[term] = struct{}{}
	return term
}

func (e *Election) end(term *Term) {
	e.mu.Lock()
	delete(e.terms, term)
	e.mu.Unlock()
	close(term.over)
}

// current lists the terms of this process that have not ended. There are two when one was lost, and the function that
// led has not returned when another begins.
func (e *Election) current() []*Term {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Collect(maps.Keys(e.terms))
}

// Resign ends this process' term: lead's context ends, and when lead has returned the next candidate is elected. It
// waits for that, or for the end of ctx. This process stays a candidate. ErrNotLeader if it does not lead.
func (e *Election) Resign(ctx context.Context) error {
	terms := e.current()
	if len(terms) == 0 {
		return ErrNotLeader
	}
	for _, term := range terms {
		term.resign(ErrResigned)
	}
	for _, term := range terms {
		select {
		case <-term.over:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Leads reports whether this process leads, as far as it can know: it asks nobody.
func (e *Election) Leads() bool {
	return slices.ContainsFunc(e.current(), func(term *Term) bool { return term.Lease.ValidFor() > 0 })
}

// IsLeader reports whether this process leads, by the database: what it says was so a moment ago, whatever this process
// believes. It costs a round trip, which Leads does not; and neither is a guard.
func (e *Election) IsLeader(ctx context.Context) (bool, error) {
	var keys []string
	var tokens []int64
	for _, term := range e.current() {
		if term.Lease.ValidFor() > 0 {
			keys, tokens = append(keys, e.key), append(tokens, term.Lease.Token())
		}
	}
	if len(tokens) == 0 {
		return false, nil
	}
	rows, err := e.locker.c.pool.Query(ctx, e.locker.c.sql.held, keys, tokens)
	if err != nil {
		return false, wrap("is leader", e.key, err)
	}
	leads := false
	var ours bool
	if _, err := pgx.ForEachRow(rows, []any{nil, &ours, nil}, func() error { leads = leads || ours; return nil }); err != nil {
		return false, wrap("is leader", e.key, err)
	}
	return leads, nil
}

// Leader tells who leads, or ErrNoLeader.
func (e *Election) Leader(ctx context.Context) (Info, error) {
	info, err := e.locker.Inspect(ctx, e.key)
	if err == nil && !info.Held {
		err = ErrNoLeader
	}
	return info, err
}

// Observe tells who leads: now, and whenever that changes; see Locker.Watch.
func (e *Election) Observe(ctx context.Context) iter.Seq2[Info, error] {
	return e.locker.Watch(ctx, e.key)
}
