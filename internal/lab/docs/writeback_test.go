package docs_test

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// signOuts is how many sessions a user ends at the same time.
const signOuts = 10

// TestWriteBack checks what docs/from-set-get-delete.md says no cache can repair: of concurrent sign-outs that read the list
// from a cache and write it back, all but one are lost. Of those that read it in their transaction FOR UPDATE, none is.
func TestWriteBack(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, &pgtest.Template{Name: "docs", Make: makeTables})
	pool := db.Pool(t)
	lists, err := cache.New(bus.NewLocal(), "lists", cache.Func(func(ctx context.Context, id int64) ([]string, error) {
		return readList(ctx, pool, id, "")
	}), nil)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lists.Close()) })

	fill(t, pool)
	var haveRead sync.WaitGroup
	haveRead.Add(signOuts)
	together(t, func(ctx context.Context, session string) error {
		list, err := lists.Get(ctx, 7)
		haveRead.Done()
		haveRead.Wait() // the requests are concurrent
		if err != nil {
			return err
		}
		if err := writeList(ctx, pool, 7, without(list, session)); err != nil {
			return err
		}
		_, err = lists.Invalidate(ctx, 7)
		return err
	})
	left, err := lists.Get(t.Context(), 7)
	require.NoError(t, err)
	require.Len(t, left, signOuts-1, "all sign-outs but one are lost")

	fill(t, pool)
	together(t, func(ctx context.Context, session string) error {
		return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			list, err := readList(ctx, tx, 7, "FOR UPDATE")
			if err != nil {
				return err
			}
			return writeList(ctx, tx, 7, without(list, session))
		})
	})
	left, err = readList(t.Context(), pool, 7, "")
	require.NoError(t, err)
	require.Empty(t, left, "no sign-out is lost")
}

// together ends all sessions at the same time, each in a goroutine.
func together(t *testing.T, signOut func(ctx context.Context, session string) error) {
	t.Helper()
	errs := make([]error, signOuts)
	var all sync.WaitGroup
	for i := range signOuts {
		all.Go(func() { errs[i] = signOut(t.Context(), strconv.Itoa(i)) })
	}
	all.Wait()
	for _, err := range errs {
		require.NoError(t, err)
	}
}

// fill gives user 7 a list of sessions.
func fill(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	list := make([]string, signOuts)
	for i := range list {
		list[i] = strconv.Itoa(i)
	}
	value, err := json.Marshal(list)
	require.NoError(t, err)
	_, err = pool.Exec(t.Context(), "INSERT INTO user_setting VALUES (7, 'sessions', $1) ON CONFLICT (user_id, key) DO UPDATE SET value = excluded.value", value)
	require.NoError(t, err)
}

// database is a pool or a transaction.
type database interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
}

func readList(ctx context.Context, db database, id int64, lock string) (list []string, err error) {
	var value []byte
	if err := db.QueryRow(ctx, "SELECT value FROM user_setting WHERE user_id = $1 AND key = 'sessions' "+lock, id).Scan(&value); err != nil {
		return nil, err
	}
	err = json.Unmarshal(value, &list)
	return list, err
}

func writeList(ctx context.Context, db database, id int64, list []string) error {
	value, err := json.Marshal(list)
	if err != nil {
		return err
	}
	_, err = db.Exec(ctx, "UPDATE user_setting SET value = $2 WHERE user_id = $1 AND key = 'sessions'", id, value)
	return err
}

func without(list []string, session string) []string {
	return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return s == session })
}
