package lock

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/backoff"
)

// leaves removes waiters that have given up, and grants that reached no caller, in the background: their contexts have
// ended. What gathers while a statement is under way goes with the next, so that many who give up
// at once cost few statements.
type leaves struct {
	c *core

	mu      sync.Mutex
	senders int
	waiting []leaving
}

// leaving is one that leaves the queue of a key.
type leaving struct {
	key, id string
	until   time.Time // then a waiter counts as dead by itself
}

const (
	leaveBatch   = 200                  // ids in a statement
	leaveSenders = 2                    // statements at once: one that is stuck does not hold up the next
	leaveGather  = 5 * time.Millisecond // between two of a sender: waiters that give up soon are granted nothing
)

// add has ids leave the queues of keys, soon.
func (l *leaves) add(id string, keys ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, key := range keys {
		l.waiting = append(l.waiting, leaving{key: key, id: id, until: time.Now().Add(patience)})
	}
	if l.senders < leaveSenders {
		l.senders++
		go l.send() // it ends when nothing waits
	}
}

// pending is how many have not left yet.
func (l *leaves) pending() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.waiting) + l.senders
}

func (l *leaves) send() {
	for {
		l.mu.Lock()
		n := min(len(l.waiting), leaveBatch)
		batch := l.waiting[:n:n]
		l.waiting = l.waiting[n:]
		if n == 0 {
			l.senders--
			l.waiting = nil
		}

		l.mu.Unlock()

		if n == 0 {
			return
		}

		l.c.leave(batch)
		time.Sleep(leaveGather)
	}
}

// leave sends a batch until it has arrived or is no longer needed.
func (c *core) leave(batch []leaving) {
	keys, ids := make([]string, len(batch)), make([]string, len(batch))

	for i, one := range batch {
		keys[i], ids[i] = one.key, one.id
	}
	ctx, cancel := context.WithDeadline(context.Background(), batch[len(batch)-1].until)
	defer cancel()
	wait := backoff.Backoff{Base: 20 * time.Millisecond, Max: 500 * time.Millisecond}

	for {
		heirs, hinted, err := c.sendLeave(ctx, keys, ids)
		if err == nil {
			for _, heir := range heirs {
				c.handed(ctx, heir, hinted)
			}
			return
		}
		if !transient(err) || !backoff.Wait(ctx, wait.Next()) {
			c.log.WarnContext(ctx, "queue not left, others wait for a claim that will not come",
				slog.Any("error", fmt.Errorf("lock: leave queue: %w", explain(err))))
			return
		}
	}
}

// sendLeave returns the waiters that were handed what others left, and whether the statement has sent them a hint.
func (c *core) sendLeave(ctx context.Context, keys, ids []string) (heirs []string, hinted bool, err error) {
	hinted, err = c.withHint(func(channel, prefix *string) error {
		ask := func() error {
			rows, err := c.pool.Query(ctx, c.sql.leave, keys, ids, waiterAlive.Milliseconds(), c.cfg.ClaimTTL.Milliseconds(), channel, prefix)
			if err == nil {
				heirs, err = pgx.CollectRows(rows, pgx.RowTo[string])
			}
			return err
		}

		err := ask()
		for conflicting(err) && backoff.Wait(ctx, conflictWait()) {
			err = ask()
		}
		return err
	})
	return heirs, hinted, err
}

// leaveNow takes a grant back and returns when that is done: the same id is about to ask again.
func (c *core) leaveNow(ctx context.Context, id string, keys ...string) {
	batch := make([]leaving, len(keys))
	for i, key := range keys {
		batch[i] = leaving{key: key, id: id, until: time.Now().Add(patience)}
	}
	_, _ = finish(ctx, 0, patience, func(context.Context) struct{} {
		c.leave(batch)
		return struct{}{}
	}, nil)
}
