package lock_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

// A program runs one Locker beside its bus. Here the database is one for tests, and the bus one without a database.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	quiet := slog.New(slog.DiscardHandler)
	server, err := pgtest.Start(ctx, &pgtest.Config{Logger: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = server.Close() }()
	pool, err := pgxpool.New(ctx, server.DSN(""))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer pool.Close()
	if err := lock.Migrate(ctx, pool, &lock.MigrateConfig{Logger: quiet}); err != nil {
		fmt.Println(err)
		return
	}

	locks, err := lock.New(bus.NewLocal(), pool, &lock.Config{Owner: "web-1", Logger: quiet})
	if err != nil {
		fmt.Println(err)
		return
	}
	done := make(chan error)
	go func() { done <- locks.Run(ctx) }()

	err = locks.Do(ctx, "report", func(ctx context.Context, lease *lock.Lease) error {
		_, err := locks.TryAcquire(ctx, "report")
		var held *lock.HeldError
		fmt.Println("taken:", errors.As(err, &held), "by", held.Owner)

		tx, err := pool.Begin(ctx)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback(ctx) }()
		if err := lease.Guard(ctx, tx); err != nil {
			return err
		}
		fmt.Println("guarded by a token:", lease.Token() > 0)
		return tx.Commit(ctx)
	})
	fmt.Println("error:", err)
	info, err := locks.Inspect(ctx, "report")
	fmt.Println("held:", info.Held, err)

	cancel()
	fmt.Println("run:", <-done)
	// Output:
	// taken: true by web-1
	// guarded by a token: true
	// error: <nil>
	// held: false <nil>
	// run: <nil>
}

// One of all processes leads; the others wait for their turn.
func ExampleElection_Run() {
	serve := func(ctx context.Context, locks *lock.Locker) error {
		election, err := locks.Election("scheduler")
		if err != nil {
			return err
		}
		return election.Run(ctx, func(ctx context.Context, term lock.Term) error {
			fmt.Println("leading with token", term.Lease.Token())
			<-ctx.Done() // the end of the program, of the term, or Resign
			return nil
		})
	}
	_ = serve
}

// Work that cannot be cancelled ends with its process.
func ExampleOptions() {
	strict := func(locks *lock.Locker, exit func(code int)) (*lock.Locker, error) {
		return locks.With(lock.Options{OnLost: func(*lock.Lease, lock.Reason) { exit(1) }})
	}
	_ = strict
}

// At most four imports at once, over all processes, and none while the index is rebuilt.
func ExampleLocker_Semaphore() {
	serve := func(ctx context.Context, locks *lock.Locker, load func(ctx context.Context) error) error {
		imports, err := locks.Semaphore("imports", 4)
		if err != nil {
			return err
		}
		return imports.Do(ctx, func(ctx context.Context, _ *lock.Lease) error {
			return locks.DoShared(ctx, "index", func(ctx context.Context, _ *lock.Lease) error { return load(ctx) })
		})
	}
	_ = serve
}
