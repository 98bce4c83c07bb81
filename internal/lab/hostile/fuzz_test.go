package hostile_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
)

// separator parts the values of one input.
const separator = "\x1f"

// null stands for NULL.
const null = "\\N"

// values are so many of an input. Those that it lacks are NULL.
func values(input string, n int) []any {
	parts := strings.Split(strings.ReplaceAll(strings.ToValidUTF8(input, "?"), "\x00", "0"), separator)
	all := make([]any, n)
	for i := range all {
		if i < len(parts) && parts[i] != null {
			all[i] = parts[i]
		}
	}
	return all
}

// harmless reports whether an error is one that a statement deserves, and none of a server or a function that broke.
func harmless(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	for _, class := range []string{"XX", "57P", "58", "42883", "42P01", "42703"} {
		if strings.HasPrefix(e.Code, class) {
			return false
		}
	}
	return true
}

// FuzzFunctions calls every function of every component with any arguments: it works, or refuses with an error of its own.
func FuzzFunctions(f *testing.F) {
	d := open(f)
	calls := d.list(f, `SELECT format('SELECT pgcoherence.%I(%s)', p.proname, coalesce((
			SELECT string_agg(CASE WHEN p.provariadic <> 0 AND i = p.pronargs THEN 'VARIADIC ' ELSE '' END
				|| format('$%s::text::%s', i, format_type(p.proargtypes[i - 1], NULL)), ', ' ORDER BY i)
			FROM generate_series(1, p.pronargs) AS i), ''))
		FROM pg_proc AS p WHERE p.pronamespace = 'pgcoherence'::regnamespace AND p.prorettype <> 'trigger'::regtype
		ORDER BY p.proname, p.pronargs`)
	require.Greater(f, len(calls), 15)

	for i := range calls {
		f.Add(uint8(i), strings.Join([]string{"item", "{1,2}", "true"}, separator))
		f.Add(uint8(i), strings.Join([]string{"018f0000-0000-7000-8000-000000000001", "5 seconds", "7", "x", "{}"}, separator))
		f.Add(uint8(i), "")
	}

	f.Fuzz(func(t *testing.T, which uint8, input string) {
		call := calls[int(which)%len(calls)]
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()

		err := pgx.BeginFunc(ctx, d.pool, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = '2s'"); err != nil {
				return err
			}

			_, err := tx.Exec(ctx, call, append([]any{pgx.QueryExecModeExec}, values(input, strings.Count(call, "$"))...)...)
			if err == nil {
				return pgx.ErrTxCommitRollback // nothing of it is to stay
			}

			return err
		})
		if !errors.Is(err, pgx.ErrTxCommitRollback) && !harmless(err) {
			t.Fatalf("%s with %q: %v", call, input, err)
		}
	})
}

// FuzzRows writes any row into every table. The pod reads all of them, and goes on.
func FuzzRows(f *testing.F) {
	d := open(f)
	inserts := d.list(f, `SELECT format('INSERT INTO pgcoherence.%I (%s) VALUES (%s)', c.relname,
			string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum),
			string_agg(format('$%s::text::%s', n, format_type(a.atttypid, NULL)), ', ' ORDER BY a.attnum))
		FROM pg_class AS c JOIN LATERAL (SELECT *, row_number() OVER (ORDER BY attnum) AS n FROM pg_attribute
			WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped AND attgenerated = '') AS a ON true
		WHERE c.relnamespace = 'pgcoherence'::regnamespace AND c.relkind = 'r' AND c.relname <> 'migration'
		GROUP BY c.relname ORDER BY c.relname`)
	require.Greater(f, len(inserts), 8)

	for i := range inserts {
		f.Add(uint8(i), strings.Repeat(separator+"1", 20))
		f.Add(uint8(i), strings.Join([]string{"018f0000-0000-7000-8000-000000000001", "x", "now", "now", "1"}, separator))
		f.Add(uint8(i), strings.Join([]string{"5", "0", "now", null, "item", "{a,NULL}", "false"}, separator))
	}

	f.Fuzz(func(t *testing.T, which uint8, input string) {
		insert := inserts[int(which)%len(inserts)]
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()

		row := values(input, strings.Count(insert, "$"))
		if _, err := d.pool.Exec(ctx, insert, append([]any{pgx.QueryExecModeExec}, row...)...); err != nil {
			if !harmless(err) {
				t.Fatalf("%s with %q: %v", insert, input, err)
			}
			return // the table does not take it
		}

		d.readAll(ctx, t, row)
	})
}

// readAll reads what a row can be part of.
func (d *database) readAll(ctx context.Context, t *testing.T, row []any) {
	t.Helper()
	names := []string{"plain"}
	for _, value := range row {
		if text, ok := value.(string); ok && text != "" {
			names = append(names, text)
		}
	}
	_, err := d.bus.Pods(ctx)
	require.NoError(t, err)
	_, err = d.lock.List(ctx, "", "", 1000)
	require.NoError(t, err)
	for _, name := range names {
		if _, err := d.lock.Inspect(ctx, name); err != nil && !errors.Is(err, lock.ErrKey) {
			t.Fatalf("inspect %q: %v", name, err)
		}
		_, _ = d.kept.List(ctx, name) // a row that is none of a session may be an error for who asks for it
		_, _ = d.kept.Get(ctx, name)
	}

	// The pod goes on: it beats, hears what is published now, and is fresh.
	beats := d.bus.Stats().Beats
	_, err = d.bus.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"after"}})
	require.NoError(t, err)
	for d.bus.Stats().Beats < beats+2 || !d.bus.Fresh() {
		select {
		case <-ctx.Done():
			t.Fatalf("the pod does not go on: %+v", d.bus.Stats())
		case <-time.After(5 * time.Millisecond):
		}
	}
	lease, err := d.lock.TryAcquire(ctx, "a lease of the test's own")
	require.NoError(t, err)
	require.NoError(t, lease.Release(ctx))
}
