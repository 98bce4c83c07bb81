package lock

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/elapsed"
)

// heartbeat renews what is due, and what will be soon, and returns when it is to be called again. The loop of Run calls it.
type heartbeat struct {
	c       *core
	retryAt time.Time // after a failure, or for rows that were locked
	failing bool      // one line in the log per outage
}

const (
	renewRetry   = 50 * time.Millisecond // after a failure
	lockedRetry  = 20 * time.Millisecond // after a row was locked
	renewChunk   = 1000                  // leases in a statement
	renewTimeout = 3 * time.Second       // of a statement, at the most
)

// due is when the next heartbeat is due, and the leases it takes along: a third of the TTL after the last renewal, or
// half of that if one of them has come so far. Leases whose keys were announced to have changed are due at once.
func (h *heartbeat) due(now time.Time) (batch []*Lease, at time.Time) {
	at = now.Add(time.Hour)
	one, _, _ := h.c.sessions.binding()
	h.c.mu.Lock()
	changed := make(map[string]struct{}, len(h.c.changed))

	for _, hash := range h.c.changed {
		changed[hash] = struct{}{}
	}
	h.c.changed = h.c.changed[:0]
	leases := make([]*Lease, 0, len(h.c.leases))

	for l := range h.c.leases {
		leases = append(leases, l)
	}
	h.c.mu.Unlock()

	for _, l := range leases {
		sent, rebind := l.renewal(one)
		ttl := l.locker.options.TTL
		dueAt := now.Add(ttl/3 - elapsed.Between(sent, now))
		if rebind.Before(dueAt) {
			dueAt = rebind
		}
		if len(changed) > 0 {
			if _, ok := changed[hashOf(l.key)]; ok {
				dueAt = now
			}
		}
		if h.retryAt.After(dueAt) {
			dueAt = h.retryAt
		}
		if dueAt.Before(at) {
			at = dueAt
		}
		if !dueAt.After(now) || elapsed.Between(sent, now) >= ttl/6 {
			batch = append(batch, l)
		}
	}

	return batch, at
}

// beat renews what is due, chunk by chunk, each in a transaction of its own whose progress is kept, and returns when to
// come back.
func (h *heartbeat) beat(ctx context.Context, k *link) time.Time {
	now := time.Now()
	batch, at := h.due(now)
	if at.After(now) {
		return at
	}
	shares := slices.DeleteFunc(slices.Clone(batch), func(l *Lease) bool { return l.share == nil })
	slices.SortFunc(shares, func(a, b *Lease) int { return strings.Compare(a.key, b.key) })
	alone := slices.DeleteFunc(batch, func(l *Lease) bool { return l.share != nil })

	locked := false
	for _, kind := range []struct {
		leases      []*Lease
		renew, held string
	}{{alone, h.c.sql.renew, h.c.sql.held}, {shares, h.c.sql.renewShares, h.c.sql.heldShares}} {
		for chunk := range slices.Chunk(kind.leases, renewChunk) {
			some, err := h.renew(ctx, k, chunk, kind.renew, kind.held)
			h.c.metrics.beats.Add(1)
			if err != nil {
				h.failed(ctx, err)
				_, at = h.due(time.Now())
				return at
			}
			locked = locked || some
		}
	}
	h.c.metrics.beatTook.Store(int64(time.Since(now)))
	h.retryAt, h.failing = time.Time{}, false
	if locked {
		h.retryAt = time.Now().Add(lockedRetry)
	}
	_, at = h.due(time.Now())
	return at
}

// renew renews a chunk, and reports whether rows of it were locked and have to be renewed again.
func (h *heartbeat) renew(ctx context.Context, k *link, chunk []*Lease, renew, held string) (locked bool, err error) {
	keys, tokens, ttls := make([]string, len(chunk)), make([]int64, len(chunk)), make([]int64, len(chunk))
	left := make(map[int64]*Lease, len(chunk)) // by token
	timeout := renewTimeout

	for i, l := range chunk {
		keys[i], tokens[i], ttls[i] = l.key, l.token, l.locker.options.TTL.Milliseconds()
		left[l.token] = l
		timeout = min(timeout, l.locker.options.TTL/4)
	}

	err = k.do(ctx, timeout, func(ctx context.Context, q querier) error {
		sent := time.Now() // after a connection was made
		var token int64
		one, session, grace := h.c.sessions.binding()
		for _, l := range chunk {
			l.renewing(one)
		}
		rows, err := q.Query(ctx, renew, keys, tokens, ttls, session, grace)
		if err != nil {
			return err
		}
		_, err = pgx.ForEachRow(rows, []any{&token}, func() error {
			if l := left[token]; l != nil {
				l.renewed(sent, one)
				delete(left, token)
			}
			return nil
		})
		if err != nil || len(left) == 0 {
			return err
		}
		locked, err = h.examine(ctx, q, left, held)
		return err
	})
	return locked, err
}

// examine finds out why leases were not renewed.
func (h *heartbeat) examine(ctx context.Context, q querier, left map[int64]*Lease, held string) (locked bool, err error) {
	keys, tokens := make([]string, 0, len(left)), make([]int64, 0, len(left))

	for token, l := range left {
		keys, tokens = append(keys, l.key), append(tokens, token)
	}
	rows, err := q.Query(ctx, held, keys, tokens)
	if err != nil {
		return false, err
	}
	var token int64
	var ours, expired bool
	gone := maps.Clone(left)
	lapsed := map[int64]bool{}
	_, err = pgx.ForEachRow(rows, []any{&token, &ours, &expired}, func() error {
		if ours {
			locked = true
			delete(gone, token)
		}
		lapsed[token] = expired
		return nil
	})
	if err != nil {
		return false, err
	}

	for token, l := range gone {
		h.gone(l, lapsed[token])
	}
	return locked, nil
}

// gone deals with a lease that the database does not hold for us any more. One that has merely expired there is lost as
// well: the next may have it at any moment.
func (h *heartbeat) gone(l *Lease, expired bool) {
	l.mu.Lock()
	over := l.lost != nil || l.released
	l.mu.Unlock()
	if over { // it was being released meanwhile, or outlived Run
		h.c.remove(l)
		return
	}
	if expired {
		l.lose(ReasonExpired)
		return
	}
	l.lose(ReasonTaken)
}

func (h *heartbeat) failed(ctx context.Context, err error) {
	h.retryAt = time.Now().Add(renewRetry)
	h.c.metrics.beatsFailed.Add(1)
	if !h.failing {
		h.failing = true
		h.c.log.WarnContext(ctx, "renewal of leases failed, trying again", slog.Any("error", explain(err)))
	}
}

// expire ends what has not been renewed in time, also if timers stood still.
func (c *core) expire() {
	c.mu.Lock()
	leases := make([]*Lease, 0, len(c.leases))
	for l := range c.leases {
		leases = append(leases, l)
	}
	c.mu.Unlock()
	for _, l := range leases {
		l.checkDeadline()
	}
}
