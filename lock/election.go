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

// ElectionPrefix is the prefix of the lease keys of elections.
const ElectionPrefix = "election/"

// Election elects one leader among all processes that run it: the process that has the lease of its name. All methods
// are safe for concurrent use. Each call of Run is a separate candidate.
type Election struct {
	locker *Locker
	key    string

	mu    sync.Mutex
	terms map[*Term]struct{} // of this process, until the function that leads has returned
}

// Term is one term of a leader.
type Term struct {
	// Lease is the leader's lease: its Token is larger than that of every earlier leader, and its Guard ties
	// transactions to the term. It is released when the term ends.
	Lease *Lease

	resign context.CancelCauseFunc
	over   chan struct{} // closed when the term is over
}

// Election returns the election with a name. It starts nothing and does no I/O. The error is ErrKey.
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

// Run is a candidate until ctx ends. Whenever this process is elected, it calls lead. The context of lead ends with
// ctx, when leadership is lost (cause: a *[LostError]) and after Resign (cause: [ErrResigned]). The term lasts until
// lead has returned, even after the end of its context. If lead returns before its context has ended, Run gives up
// the leadership and returns lead's error. Otherwise Run continues at the end of the queue of candidates. It returns
// nil when ctx ends.
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

// Resign ends this process's term: the context of lead ends, and when lead has returned, the next candidate is
// elected. It waits for that, or for the end of ctx. This process remains a candidate. It returns ErrNotLeader if
// this process does not lead.
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

// Leads reports whether this process leads, as far as it knows. It does no I/O.
func (e *Election) Leads() bool {
	return slices.ContainsFunc(e.current(), func(term *Term) bool { return term.Lease.ValidFor() > 0 })
}

// IsLeader reports whether this process leads, according to the database. The result is from a moment ago, whatever
// this process believes. It costs a round trip, which Leads does not. Neither of them replaces a guard.
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

// Leader returns the current leader, or ErrNoLeader.
func (e *Election) Leader(ctx context.Context) (Info, error) {
	info, err := e.locker.Inspect(ctx, e.key)
	if err == nil && !info.Held {
		err = ErrNoLeader
	}
	return info, err
}

// Observe yields the leader: now, and after every change; see [Locker.Watch].
func (e *Election) Observe(ctx context.Context) iter.Seq2[Info, error] {
	return e.locker.Watch(ctx, e.key)
}
