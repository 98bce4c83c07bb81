package lock

import (
	"context"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// takings sends first tries that come at the same time together. They are of the common case: keys that are known, free and
// without a queue. What is not granted asks by itself.
type takings struct {
	c *core
	gather[*taking]
}

// taking is a first try that goes with others.
type taking struct {
	attempt
	done chan struct{} // closed when the reply is there

	mu        sync.Mutex
	settled   bool // the reply is there
	abandoned bool // its caller has gone: what was granted is given back
	reply     *reply
	err       error
}

const (
	takingBatch   = 100
	takingSenders = 2 // one is executed while the other waits for the disk
)

func newTakings(c *core) *takings {
	t := &takings{c: c}
	t.senders, t.batch, t.send = takingSenders, takingBatch, t.sendBatch
	return t
}

// wait returns the reply, or that ctx has ended: then nothing was sent, or what was sent is undone.
func (t *takings) wait(ctx context.Context, one *taking) (*reply, error) {
	timer := time.NewTimer(stuck)
	defer timer.Stop()

	for {
		select {
		case <-one.done:
			return one.reply, one.err
		case <-timer.C:
			t.overtake()
		case <-ctx.Done():
			if t.withdraw(one) || one.abandon() {
				return nil, context.Cause(ctx)
			}
			return one.reply, one.err
		}
	}
}

// abandon reports whether the reply was not there yet: when it comes, what was granted is given back.
func (o *taking) abandon() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.abandoned = !o.settled
	return o.abandoned
}

func (o *taking) isAbandoned() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.abandoned
}

// settle returns the reply to the caller that waits, or undoes the grant if none does.
func (o *taking) settle(r *reply, err error) {
	o.mu.Lock()
	o.settled, o.reply, o.err = true, r, err
	abandoned := o.abandoned
	o.mu.Unlock()
	close(o.done)
	if abandoned && (err != nil || r.granted != nil) {
		o.c.leaves.add(o.id, o.key)
	}
}

// sendBatch sends those of a batch whose callers still wait when a connection is there.
func (t *takings) sendBatch(batch []*taking) {
	waiting, cancel := context.WithTimeout(context.Background(), longestTry)
	defer cancel()
	conn, err := t.c.enter(waiting)
	if err != nil {
		for _, one := range batch {
			one.settle(&reply{}, err)
		}
		return
	}
	defer t.c.exit(conn)

	bound := longestTry
	sent := make([]*taking, 0, len(batch))
	for _, one := range batch {
		if one.isAbandoned() {
			one.settle(&reply{}, nil) // nothing was sent for it
			continue
		}
		sent = append(sent, one)
		bound = min(bound, one.bound())
	}
	if len(sent) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), bound)
	defer cancel()
	t.take(ctx, conn, sent)
}

// take sends a batch. An error is returned to all of it, also where a lease was granted.
func (t *takings) take(ctx context.Context, conn *pgxpool.Conn, batch []*taking) {
	common := reply{before: t.c.seen.Load(), place: t.c.place.Load()}
	granted, err := t.query(ctx, conn, &common, batch)
	common.arrived = time.Now()
	for _, one := range batch {
		r := common
		if token, ok := granted[one.id]; ok {
			r.granted = &token
		} else {
			r.queue = one.waits
		}
		one.settle(&r, err)
	}
}

// query returns the tokens that were granted, by the ids of the grants.
func (t *takings) query(ctx context.Context, conn *pgxpool.Conn, r *reply, batch []*taking) (map[string]int64, error) {
	n := len(batch)
	keys, ids, ttls, metas := make([]string, n), make([]string, n), make([]int64, n), make([]*string, n)

	for i, one := range batch {
		keys[i], ids[i], ttls[i], metas[i] = one.key, one.id, one.options.TTL.Milliseconds(), one.meta
	}
	args := batch[0].bind(r, []any{keys, ids, t.c.cfg.Owner, ttls, metas, r.place.server, r.place.database, r.place.relation})
	t.c.metrics.tries.Add(int64(n))
	r.sent = time.Now()
	rows, err := conn.Query(ctx, t.c.sql.acquireBatch, args...)
	if err != nil {
		return nil, err
	}
	granted := make(map[string]int64, n)
	var id uuid.UUID
	var token int64
	_, err = pgx.ForEachRow(rows, []any{&id, &token}, func() error {
		granted[id.String()] = token
		return nil
	})
	return granted, err
}

// together reports whether an attempt may go with others.
func (a *attempt) together() bool {
	return a.tries == 0 && !a.queued && !a.unknown && a.share == nil && a.c.place.Load() != nil
}
