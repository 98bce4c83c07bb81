package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// floorLazy is the floor with the library's own trick: BEGIN goes with the update,
// so that a transaction takes two round trips. It is a few lines on a connection
// and no pgx.Tx: nothing else could be done in its transaction.
type floorLazy struct{ floor }

func newFloorLazy(pool *pgxpool.Pool) *floorLazy { return &floorLazy{floor{pool}} }

func (*floorLazy) name() string { return "floor_lazy" }

func (f *floorLazy) transact(ctx context.Context, id int64) error {
	conn, err := f.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("floor_lazy: %w", err)
	}
	defer conn.Release() // a connection in a transaction is closed by this

	// Prepare asks the server once per connection.
	var statements [4]*pgconn.StatementDescription
	for i, text := range []string{"begin", update, floorInsert, "commit"} {
		if statements[i], err = conn.Conn().Prepare(ctx, "floor_lazy_"+strconv.Itoa(i), text); err != nil {
			return fmt.Errorf("floor_lazy: %w", err)
		}
	}

	key := strconv.AppendInt(nil, id, 10)
	var first, last pgconn.Batch
	first.ExecStatement(statements[0], nil, nil, nil)
	first.ExecStatement(statements[1], [][]byte{key}, nil, nil)

	if _, err := conn.Conn().PgConn().ExecBatch(ctx, &first).ReadAll(); err != nil {
		return fmt.Errorf("floor_lazy: %w", err)
	}

	last.ExecStatement(statements[2], [][]byte{key}, nil, nil)
	last.ExecStatement(statements[3], nil, nil, nil)

	if _, err := conn.Conn().PgConn().ExecBatch(ctx, &last).ReadAll(); err != nil {
		return fmt.Errorf("floor_lazy: %w", err)
	}

	return nil
}
