package lock

import (
	"context"
	"iter"
	"log/slog"
	"sync"
)

// ElectionPrefix is what the lease keys of elections begin with.
const ElectionPrefix = "election/"

// Election chooses one leader among all processes that run it: whoever has the lease of its name. All methods are safe
// for concurrent use.
type Election struct {
	locker *Locker
	key    string

	mu     sync.Mutex
	term   *Lease // nil while this process does not lead
	resign context.CancelCauseFunc
	over   chan struct{} // closed when the term is over
}

// Term is one time of leading.
type Term struct {
	// Lease is the leader's: its Token is larger than that of every leader before, its Guard ties transactions to the
	// term. It is released when the term ends.
	Lease *Lease
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
	return &Election{locker: l, key: key}, nil
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
	e.begin(lease, resign)
	defer e.end()
	err = lease.run(inner, func(ctx context.Context, lease *Lease) error {
		err := lead(ctx, Term{Lease: lease})
		byItself = ctx.Err() == nil
		return err
	})
	return byItself, err
}

func (e *Election) begin(lease *Lease, resign context.CancelCauseFunc) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.term, e.resign, e.over = lease, resign, make(chan struct{})
}

func (e *Election) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	close(e.over)
	e.term = nil
}

// Resign ends this process' term: lead's context ends, and when lead has returned the next candidate is elected. It
// waits for that, or for the end of ctx. This process stays a candidate. ErrNotLeader if it does not lead.
func (e *Election) Resign(ctx context.Context) error {
	e.mu.Lock()
	term, resign, over := e.term, e.resign, e.over
	e.mu.Unlock()
	if term == nil {
		return ErrNotLeader
	}
	resign(ErrResigned)
	select {
	case <-over:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Leads says whether this process leads, as far as it can know: it asks nobody.
func (e *Election) Leads() bool {
	e.mu.Lock()
	term := e.term
	e.mu.Unlock()
	return term != nil && term.ValidFor() > 0
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
