package lock

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Info is the state of a lease in the database.
type Info struct {
	Key       string
	Held      bool              // whether it has an owner; if not, the fields below, except Waiters, describe the last owner
	Owner     string            // the owner's Config.Owner
	Token     int64             // 0 if it was never taken, or its row was deleted since
	Since     time.Duration     // since when it has been held, by the database's clock
	Remaining time.Duration     // until it expires unless it is renewed; 0 if it is free
	Metadata  map[string]string // of the owner
	Waiters   int

	Shared  bool // readers or holders of a semaphore have it: Owner, Token and Metadata are of the first, see Holders
	Limit   int  // maximum number of holders of a semaphore
	Holders int  // number of holders: 0, 1, or as many as share it
}

// Inspect returns the state of a lease without acquiring it. For a key that was never acquired, Held is false.
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

// List returns the held leases whose keys begin with a prefix, sorted by key. It returns at most limit of them (0
// means 1000), with keys after the given one; pass the last key of one list to get the next.
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
