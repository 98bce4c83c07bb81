package cache_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
)

// User is a row of the table users.
type User struct {
	ID   int64
	Name string
}

// PoolRepository is a repository as an application has it, before there is a cache.
type PoolRepository struct{ Pool *pgxpool.Pool }

// User reads one row.
func (r *PoolRepository) User(ctx context.Context, id int64) (u User, err error) {
	err = r.Pool.QueryRow(ctx, "SELECT id, name FROM users WHERE id = $1", id).Scan(&u.ID, &u.Name)
	return u, err // pgx.ErrNoRows is "not found"
}

// A cache in front of a repository that reads through pgx. The writer names the key in its transaction.
func ExampleNew_pgxpool() {
	app := application() // what the program has already: a context, a bus that runs, a pool, and where it prints
	repo := &PoolRepository{app.pool}

	users, err := cache.New(app.bus, "users", cache.Func(repo.User), nil)
	if err != nil {
		panic(err)
	}
	defer users.Close()
	user, err := users.Get(app.ctx, 7)
	fmt.Fprintln(app.out, user.Name, err)

	_, err = app.bus.InTx(app.ctx, func(tx *bus.Tx) error {
		if _, err := tx.Exec(app.ctx, "UPDATE users SET name = 'Ada' WHERE id = 7"); err != nil {
			return err
		}
		return users.InvalidateTx(tx, 7)
	})
	if err != nil {
		panic(err)
	}
	user, err = users.Get(app.ctx, 7)
	fmt.Fprintln(app.out, user.Name, err)
	_, err = users.Get(app.ctx, 8)
	fmt.Fprintln(app.out, errors.Is(err, cache.ErrNotFound))
}

// SQLRepository reads through database/sql.
type SQLRepository struct{ DB *sql.DB }

// User reads one row.
func (r *SQLRepository) User(ctx context.Context, id int64) (u User, err error) {
	err = r.DB.QueryRowContext(ctx, "SELECT id, name FROM users WHERE id = $1", id).Scan(&u.ID, &u.Name)
	return u, err // sql.ErrNoRows is "not found"
}

// The same with database/sql.
func ExampleNew_databaseSQL() {
	app := application() // what the program has already
	repo := &SQLRepository{app.db}

	users, err := cache.New(app.bus, "users", cache.Func(repo.User), nil)
	if err != nil {
		panic(err)
	}
	defer users.Close()
	user, err := users.Get(app.ctx, 7)
	fmt.Fprintln(app.out, user.Name, err)

	_, err = app.bus.InSQL(app.ctx, app.db, func(tx *sql.Tx, staging *bus.Staging) error {
		if _, err := tx.ExecContext(app.ctx, "UPDATE users SET name = 'Ada' WHERE id = 7"); err != nil {
			return err
		}
		return users.InvalidateSQL(staging, 7)
	})
	if err != nil {
		panic(err)
	}
	user, err = users.Get(app.ctx, 7)
	fmt.Fprintln(app.out, user.Name, err)
	_, err = users.Get(app.ctx, 8)
	fmt.Fprintln(app.out, errors.Is(err, cache.ErrNotFound))
}

type traceKey struct{}

// A load sees the trace of the reader that began it, and nothing else that would make its value one reader's own.
func ExampleConfig_loadContext() {
	ctx := context.WithValue(context.Background(), traceKey{}, "4bf92f35")
	documents, err := cache.New(bus.NewLocal(), "documents", cache.Func(func(ctx context.Context, id string) (string, error) {
		return fmt.Sprintf("document %s, read within trace %v", id, ctx.Value(traceKey{})), nil
	}), &cache.Config[string, string]{
		LoadContext: func(ctx context.Context) context.Context {
			return context.WithValue(context.Background(), traceKey{}, ctx.Value(traceKey{}))
		},
	})
	if err != nil {
		panic(err)
	}
	defer documents.Close()

	text, _ := documents.Get(ctx, "a")
	fmt.Println(text)
	// Output: document a, read within trace 4bf92f35
}
