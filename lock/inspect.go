package lock

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Info is what the database knows of a lease.
type Info struct {
	Key       string
	Held      bool              // somebody has it. All below but Waiters is about its last owner if not
	Owner     string            // as its Config.Owner says
	Token     int64             // 0 if it was never taken, or long ago
	Since     time.Duration     // how long ago it was taken, by the database's clock
	Remaining time.Duration     // until it expires unless it is renewed; 0 if it is free
	Metadata  map[string]string // of the owner
	Waiters   int

	Shared  bool // readers or holders of a semaphore have it: Owner, Token and Metadata are of the first, see Holders
	Limit   int  // how many may hold a semaphore at once
	Holders int  // how many have it: 0, 1, or as many as share it
}

// Inspect tells who has a lease, without taking it. A key that nobody ever took is an Info that is not Held, and no error.
func (l *Locker) Inspect(ctx context.Context, key string) (Info, error) {
	if err := checkKey(key); err != nil {
		return Info{}, err
	}
	infos, err := l.c.infos(ctx, l.c.sql.inspect, []string{key})
	if err != nil {
		return Info{}, wrap("inspect", key, err)
	}
	if len(infos) == 0 {
		return Info{Key: key}, nil
	}
	return infos[0], nil
}

// List tells which leases are held whose keys begin with a prefix, by key. At most limit of them, 0 meaning 1000, and
// only keys after the one given; so the last key of one list leads to the next.
func (l *Locker) List(ctx context.Context, prefix, after string, limit int) ([]Info, error) {
	if limit <= 0 {
		limit = 1000
	}
	infos, err := l.c.infos(ctx, l.c.sql.list, prefix, limit, after)
	if err != nil {
		return nil, wrap("list", prefix, err)
	}
	return infos, nil
}

func (c *core) infos(ctx context.Context, sql string, args ...any) ([]Info, error) {
	rows, err := c.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (Info, error) {
		var i Info
		var since int64
		var remaining *int64
		var meta *string
		err := r.Scan(&i.Key, &i.Token, &i.Owner, &i.Held, &since, &remaining, &meta, &i.Waiters, &i.Shared, &i.Limit, &i.Holders)
		i.Since, i.Metadata = time.Duration(since)*time.Millisecond, metadataOf(meta)
		if i.Held {
			i.Remaining = time.Duration(deref(remaining)) * time.Millisecond
		}
		return i, err
	})
}
