package lazytx_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lazytx"
)

// TestDifferential runs random transactions statement by statement on a transaction of pgx and on one of this package, in
// two databases that are equal in the beginning, and compares everything that the caller sees: results, errors with their
// texts and positions, whether the transaction is alive, and in the end the data. In all exec modes, with small and large
// statement caches, straight and through PgBouncer in transaction mode. The connections live through many transactions,
// so that caches are warm and cold.
func TestDifferential(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		for _, way := range []string{"straight", "pgbouncer"} {
			t.Run(fmt.Sprintf("%s/%s", mode, way), func(t *testing.T) {
				t.Parallel()
				p := newPair(t, mode, way == "pgbouncer")
				rapid.Check(t, p.check)
			})
		}
	}
}

// pair is the two connections, and how to make them.
type pair struct {
	t           *testing.T
	change      func(*pgx.ConnConfig)
	dsn         [2]string
	plain, lazy *pgx.Conn
	log         []string
	dirty       bool // a check has failed: begin from scratch
}

func newPair(t *testing.T, mode pgx.QueryExecMode, bouncer bool) *pair {
	t.Helper()
	p := &pair{t: t}
	for i := range p.dsn {
		db := pgtest.New(t, template)
		p.dsn[i] = db.DSN
		if bouncer {
			p.dsn[i] = pgtest.NewBouncer(t, db, nil).DSN()
		}
	}

	p.change = func(c *pgx.ConnConfig) {
		c.DefaultQueryExecMode = mode
		c.StatementCacheCapacity, c.DescriptionCacheCapacity = 20, 20 // five for first statements: some are evicted
	}
	p.connect()
	return p
}

func (p *pair) connect() {
	p.plain, p.lazy = connect(p.t, p.dsn[0], p.change), connect(p.t, p.dsn[1], p.change)
}

// check is one transaction.
func (p *pair) check(t *rapid.T) {
	ctx := p.t.Context()
	if p.dirty || p.plain.IsClosed() || p.lazy.IsClosed() {
		_, _ = p.plain.Close(ctx), p.lazy.Close(ctx)
		p.connect()
	}
	if p.dirty {
		for _, conn := range []*pgx.Conn{p.plain, p.lazy} {
			_, err := conn.Exec(ctx, "TRUNCATE child, item; SELECT lo_unlink(oid) FROM pg_largeobject_metadata;"+fill)
			require.NoError(t, err)
		}
	}
	p.log, p.dirty = nil, true
	options := pgx.TxOptions{
		IsoLevel:       rapid.SampledFrom([]pgx.TxIsoLevel{"", "", pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable}).Draw(t, "level"),
		AccessMode:     rapid.SampledFrom([]pgx.TxAccessMode{"", "", "", pgx.ReadWrite, pgx.ReadOnly}).Draw(t, "access"),
		DeferrableMode: rapid.SampledFrom([]pgx.TxDeferrableMode{"", "", pgx.Deferrable, pgx.NotDeferrable}).Draw(t, "deferrable"),
	}
	plain, err := p.plain.BeginTx(ctx, options)
	require.NoError(t, err)
	lazy, err := lazytx.Begin(ctx, p.lazy, options)
	require.NoError(t, err)
	one, two := []pgx.Tx{plain}, []pgx.Tx{lazy} // with the savepoints that are open

	for i := range rapid.IntRange(0, 6).Draw(t, "statements") {
		name := rapid.SampledFrom(slices.Sorted(maps.Keys(operations))).Draw(t, "operation")
		if name == "set isolation" && i > 0 {
			continue // whether it comes too late depends on what pgx has prepared in the transaction, and so on its caches
		}
		p.compare(t, name, operations[name], one[len(one)-1], two[len(two)-1])
		if name == "savepoint" {
			sp1, err1 := one[len(one)-1].Begin(ctx)
			sp2, err2 := two[len(two)-1].Begin(ctx)
			require.Equal(t, describe(err1), describe(err2), p.log)
			if err1 == nil {
				one, two = append(one, sp1), append(two, sp2)
			}
		}
		if end := rapid.IntRange(0, 9).Draw(t, "end of savepoint"); len(one) > 1 && end < 4 {
			p.compare(t, "end of savepoint", ending(end < 2), one[len(one)-1], two[len(two)-1])
			one, two = one[:len(one)-1], two[:len(two)-1]
		}
	}
	commit := rapid.IntRange(0, 3).Draw(t, "commit") > 0
	p.compare(t, fmt.Sprint("commit ", commit), ending(commit), plain, lazy)

	// After the end every method says so, and none touches the connection.
	for _, name := range slices.Sorted(maps.Keys(operations)) {
		if name != "connection" && name != "copy" {
			p.compare(t, "afterwards "+name, operations[name], plain, lazy)
		}
	}
	if p.plain.IsClosed() || p.lazy.IsClosed() {
		p.dirty = false
		return
	}
	require.Equal(t, byte('I'), p.lazy.PgConn().TxStatus(), p.log)
	require.Equal(t, content(t, p.plain), content(t, p.lazy), p.log)
	p.dirty = false
}

// ending ends a transaction or savepoint.
func ending(commit bool) func(context.Context, pgx.Tx) string {
	return func(ctx context.Context, tx pgx.Tx) string {
		if commit {
			return describe(tx.Commit(ctx))
		}
		return describe(tx.Rollback(ctx))
	}
}

// compare does one thing on both.
func (p *pair) compare(t *rapid.T, name string, do func(context.Context, pgx.Tx) string, plain, lazy pgx.Tx) {
	aborted := !p.plain.IsClosed() && p.plain.PgConn().TxStatus() == 'E'
	want := do(p.t.Context(), plain)
	p.log = append(p.log, name+": "+want)
	got := do(p.t.Context(), lazy)

	// In an aborted transaction pgx refuses, or the server does, depending on what is in pgx' caches.
	if aborted && strings.Contains(want, failure) && strings.Contains(got, failure) {
		want = got
	}
	if want != got { // also of a failure that depends on what the connection has seen, and does not come again
		p.t.Logf("%s\nwant %s\n got %s\nafter %q", name, want, got, p.log)
	}
	require.Equal(t, want, got, p.log)
	require.Equal(t, p.plain.IsClosed(), p.lazy.IsClosed(), p.log)
	if p.plain.IsClosed() {
		return
	}
	require.False(t, p.lazy.PgConn().IsBusy(), p.log)
	want, got = string(p.plain.PgConn().TxStatus()), string(p.lazy.PgConn().TxStatus())
	if want == "T" && got == "I" {
		return // BEGIN has not been sent
	}
	require.Equal(t, want, got, p.log)
}

// content is everything that is in the database.
func content(t *rapid.T, conn *pgx.Conn) []string {
	rows, err := conn.Query(context.Background(), `SELECT id || '=' || value FROM item UNION ALL SELECT 'child ' || item FROM child
		UNION ALL SELECT 'large' FROM pg_largeobject_metadata ORDER BY 1`)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	return all
}

// failure is in the description of every error.
const failure = "; safe to retry "

// describe returns all that a caller can see of an error.
func describe(err error) string {
	if err == nil {
		return "ok"
	}
	// Which of its caches pgx has to clear first is its own affair.
	message := strings.TrimPrefix(err.Error(), "failed to deallocate cached statement(s): ")
	text := fmt.Sprintf("%s; safe to retry %t; closed %t; rollback %t", message, pgconn.SafeToRetry(err), errors.Is(err, pgx.ErrTxClosed),
		errors.Is(err, pgx.ErrTxCommitRollback))
	var pgErr *pgconn.PgError
	if errors.As(err, &pgErr) {
		text += fmt.Sprintf("; %s at %d, detail %q, hint %q, where %q, table %q, constraint %q", pgErr.Code, pgErr.Position, pgErr.Detail, pgErr.Hint,
			pgErr.Where, pgErr.TableName, pgErr.ConstraintName)
	}
	return text
}

// read reads rows in one of several ways, and returns all that a caller can see.
func read(rows pgx.Rows, err error, how string) string {
	var b strings.Builder
	if err == nil && how == "fields first" {
		for _, f := range rows.FieldDescriptions() {
			fmt.Fprintf(&b, " %s/%d/%d", f.Name, f.DataTypeOID, f.Format)
		}
	}
	for n := 0; rows.Next(); n++ {
		switch how {
		case "two":
			if n == 2 {
				rows.Close()
				continue
			}
		case "scan":
			var s *string
			fmt.Fprintf(&b, " %s", describe(rows.Scan(&s)))
			continue
		case "scan wrong":
			var i int
			fmt.Fprintf(&b, " %s", describe(rows.Scan(&i, &i)))
			continue
		}
		values, err := rows.Values()
		fmt.Fprintf(&b, " %v %d %s", values, len(rows.RawValues()), describe(err))
	}
	rows.Close()

	// Where an error comes from depends on what is in pgx' caches. It is in the rows in any case.
	fmt.Fprintf(&b, "; %s; %s", describe(rows.Err()), rows.CommandTag())
	rows.Close()
	return b.String()
}

func exec(sql string, args ...any) func(context.Context, pgx.Tx) string {
	return func(ctx context.Context, tx pgx.Tx) string {
		tag, err := tx.Exec(ctx, sql, args...)
		return tag.String() + " " + describe(err)
	}
}

func query(how, sql string, args ...any) func(context.Context, pgx.Tx) string {
	return func(ctx context.Context, tx pgx.Tx) string {
		rows, err := tx.Query(ctx, sql, args...)
		return read(rows, err, how)
	}
}

func row(dest func() any, sql string, args ...any) func(context.Context, pgx.Tx) string {
	return func(ctx context.Context, tx pgx.Tx) string {
		d := dest()
		err := tx.QueryRow(ctx, sql, args...).Scan(d)
		switch d := d.(type) {
		case *int64:
			return fmt.Sprint(*d, describe(err))
		case *string:
			return fmt.Sprint(*d, describe(err))
		}
		return describe(err)
	}
}

func number() any { return new(int64) }
func text() any   { return new(string) }

// batch sends queries as one.
func batch(queries ...string) func(context.Context, pgx.Tx) string {
	return func(ctx context.Context, tx pgx.Tx) string {
		b := &pgx.Batch{}
		for _, q := range queries {
			b.Queue(q)
		}
		r := tx.SendBatch(ctx, b)
		out := ""
		for range queries {
			tag, err := r.Exec()
			out += tag.String() + " " + describe(err) + ";"
		}
		return out + describe(r.Close())
	}
}

type ignored struct{}

func (ignored) RewriteQuery(_ context.Context, _ *pgx.Conn, sql string, args []any) (string, []any, error) {
	return strings.ReplaceAll(sql, "VALUE", "value"), args[1:], nil
}

// operations are what can be done in a transaction.
var operations = map[string]func(ctx context.Context, tx pgx.Tx) string{
	"update":             exec("UPDATE item SET value = value + 1 WHERE id = $1", "1"),
	"update none":        exec("UPDATE item SET value = value + 1 WHERE id = $1", "none"),
	"update two":         exec("UPDATE item SET value = $2 WHERE id = $1", "2", 22),
	"update, no args":    exec("UPDATE item SET value = value + 1 WHERE id = '3'"),
	"insert again":       exec("INSERT INTO item (id) VALUES ($1) ON CONFLICT DO NOTHING", "new"),
	"violation":          exec("INSERT INTO item (id) VALUES ($1)", "1"),
	"check":              exec("UPDATE item SET value = $1 WHERE id = '1'", 5000),
	"deferred":           exec("INSERT INTO child VALUES ($1)", "nobody"),
	"deferred, good":     exec("INSERT INTO child VALUES ($1)", "1"),
	"delete":             exec("DELETE FROM item WHERE id = $1", "9"),
	"select by exec":     exec("SELECT id FROM item WHERE value < $1", 10),
	"division":           exec("SELECT 1 / $1::int", 0),
	"syntax":             exec("SELEC $1", 1),
	"no table":           exec("SELECT * FROM nothing WHERE a = $1", 1),
	"no table, no args":  exec("SELECT * FROM nothing"),
	"too many arguments": exec("SELECT $1::int", 1, 2),
	"too few":            exec("SELECT $1::int, $2::int", 1),
	"not encodable":      exec("SELECT $1::int", make(chan int)),
	"wrong text":         exec("SELECT $1::int", "not a number"),
	"two statements":     exec("UPDATE item SET value = 4 WHERE id = '4'; UPDATE item SET value = 5 WHERE id = '5'"),
	"two with arguments": exec("UPDATE item SET value = 4 WHERE id = $1; SELECT 1", "4"),
	"empty":              exec(""),
	"comment":            exec("-- nothing at all"),
	"set local":          exec("SET LOCAL work_mem = '5MB'"),
	"set isolation":      exec("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"),
	"named":              exec("UPDATE item SET value = @v WHERE id = @id", pgx.NamedArgs{"v": 6, "id": "6", "unused": 1}),
	"named, unused":      exec("UPDATE item SET value = 7 WHERE id = '7'; SELECT 1", pgx.NamedArgs{"unused": 1}),
	"named, missing":     exec("UPDATE item SET value = @v WHERE id = '7'", pgx.NamedArgs{}),
	"strict, missing":    exec("UPDATE item SET value = @v WHERE id = '7'", pgx.StrictNamedArgs{}),
	"named and more":     exec("UPDATE item SET value = @v WHERE id = '7'", pgx.NamedArgs{"v": 1}, 2),
	"rewriter":           exec("UPDATE item SET VALUE = $1 WHERE id = '8'", ignored{}, "dropped", 8),
	"mode":               exec("UPDATE item SET value = $1 WHERE id = '8'", pgx.QueryExecModeExec, 18),
	"simple":             exec("UPDATE item SET value = $1 WHERE id = '8'", pgx.QueryExecModeSimpleProtocol, 19),
	"nil argument":       exec("UPDATE item SET value = coalesce($1::int, 11) WHERE id = '11'", nil),
	"raise":              exec(`DO $$ BEGIN RAISE EXCEPTION 'mine' USING HINT = 'do not', DETAIL = 'more', ERRCODE = 'P0099'; END $$`),
	"raise in function":  exec("SELECT set_config($1, 'x', true)", "no such. setting"),
	"vacuum":             exec("VACUUM item"),
	"savepoint by hand":  exec("SAVEPOINT mine"),
	"discard":            exec("DISCARD SEQUENCES"),

	"query":                  query("values", "SELECT id, value FROM item WHERE value < $1 ORDER BY value", 5),
	"query, no args":         query("values", "SELECT id FROM item ORDER BY value LIMIT 3"),
	"query none":             query("fields first", "SELECT id, value FROM item WHERE id = $1", "none"),
	"query, fields":          query("fields first", "SELECT id, value FROM item WHERE id = $1", "1"),
	"query some":             query("two", "SELECT i::text FROM generate_series(1, $1) AS i", 2000),
	"query scan":             query("scan", "SELECT id FROM item WHERE value < $1 ORDER BY value", 4),
	"query scan wrong":       query("scan wrong", "SELECT id FROM item WHERE value < $1", 4),
	"query fails":            query("values", "SELECT 10 / (i - $1) FROM generate_series(1, 9) AS i", 5),
	"query fails at once":    query("values", "SELECT 1 / $1::int", 0),
	"query fails late":       query("values", "SELECT 10 / (i - $1) FROM generate_series(1, 2500) AS i", 2400),
	"query syntax":           query("values", "SELEC id FROM item WHERE a = $1", 1),
	"query no table":         query("values", "SELECT id FROM nothing"),
	"query arguments":        query("values", "SELECT id FROM item WHERE value < $1"),
	"query not encodable":    query("values", "SELECT $1::int", make(chan int)),
	"query formats":          query("fields first", "SELECT value FROM item WHERE id = $1", pgx.QueryResultFormats{0}, "1"),
	"query formats by oid":   query("fields first", "SELECT value FROM item WHERE id = $1", pgx.QueryResultFormatsByOID{20: 0}, "1"),
	"query mode":             query("fields first", "SELECT value FROM item WHERE id = $1", pgx.QueryExecModeDescribeExec, "1"),
	"query named":            query("values", "SELECT value FROM item WHERE id = @id", pgx.NamedArgs{"id": "1"}),
	"query strict":           query("values", "SELECT value FROM item WHERE id = @id", pgx.StrictNamedArgs{"id": "1", "x": 1}),
	"query empty":            query("values", ""),
	"query comment":          query("values", "-- nothing at all"),
	"query returning":        query("values", "UPDATE item SET value = value + 1 WHERE id = $1 RETURNING id, value", "12"),
	"query without rows":     query("values", "UPDATE item SET value = value + 1 WHERE id = $1", "13"),
	"query violation":        query("values", "INSERT INTO item (id) VALUES ($1) RETURNING id", "1"),
	"query transaction mode": query("values", "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"),

	"row":               row(number, "SELECT value FROM item WHERE id = $1", "1"),
	"row, no args":      row(text, "SELECT id FROM item ORDER BY value LIMIT 1"),
	"no row":            row(number, "SELECT value FROM item WHERE id = $1", "none"),
	"row of many":       row(text, "SELECT i::text FROM generate_series(1, $1) AS i", 3000),
	"row wrong type":    row(number, "SELECT id || 'x' FROM item WHERE id = $1", "1"),
	"row bytes":         row(func() any { return new(pgtype.DriverBytes) }, "SELECT id FROM item WHERE id = $1", "1"),
	"row fails":         row(number, "SELECT 1 / $1::int", 0),
	"row syntax":        row(number, "SELEC $1", 0),
	"row violation":     row(text, "INSERT INTO item (id) VALUES ($1) RETURNING id", "1"),
	"row not encodable": row(number, "SELECT $1::int", make(chan int)),

	"batch":            batch("UPDATE item SET value = value + 1 WHERE id = '14'", "SELECT 1"),
	"batch fails":      batch("UPDATE item SET value = value + 1 WHERE id = '15'", "SELECT 1/0", "SELECT 1"),
	"batch of nothing": batch(),
	"batch begins": func(ctx context.Context, tx pgx.Tx) string {
		b := &pgx.Batch{}
		b.BeginTx(pgx.TxOptions{})
		r := tx.SendBatch(ctx, b)
		return describe(r.Close())
	},
	"copy": func(ctx context.Context, tx pgx.Tx) string {
		n, err := tx.CopyFrom(ctx, pgx.Identifier{"child"}, []string{"item"}, pgx.CopyFromRows([][]any{{"1"}, {"2"}}))
		return fmt.Sprint(n, describe(err))
	},
	"prepare": func(ctx context.Context, tx pgx.Tx) string {
		sd, err := tx.Prepare(ctx, "", "SELECT value FROM item WHERE id = $1")
		if err != nil {
			return describe(err)
		}
		return fmt.Sprint(sd.ParamOIDs, len(sd.Fields))
	},
	"large object": func(ctx context.Context, tx pgx.Tx) string {
		objects := tx.LargeObjects()
		oid, err := objects.Create(ctx, 0)
		if err != nil {
			return describe(err)
		}
		o, err := objects.Open(ctx, oid, pgx.LargeObjectModeWrite)
		if err != nil {
			return describe(err)
		}
		n, err := o.Write([]byte("bytes"))
		return fmt.Sprint(n, describe(err), describe(o.Close()))
	},
	"connection": func(ctx context.Context, tx pgx.Tx) string {
		tag, err := tx.Conn().Exec(ctx, "UPDATE item SET value = $1 WHERE id = '16'", 16)
		return tag.String() + describe(err) + string(tx.Conn().PgConn().TxStatus())
	},
	"context ended": func(ctx context.Context, tx pgx.Tx) string {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		_, err := tx.Exec(ended, "UPDATE item SET value = 0 WHERE id = $1", "1")
		return describe(err)
	},
	"context ended, query": func(ctx context.Context, tx pgx.Tx) string {
		ended, cancel := context.WithCancel(ctx)
		cancel()
		rows, err := tx.Query(ended, "SELECT value FROM item WHERE id = $1", "1")
		return read(rows, err, "values")
	},
	"helper": func(ctx context.Context, tx pgx.Tx) string {
		rows, err := tx.Query(ctx, "SELECT id, value FROM item WHERE value BETWEEN 20 AND $1 ORDER BY value", 23)
		if err != nil {
			return describe(err)
		}
		type item struct {
			ID    string
			Value int
		}
		all, err := pgx.CollectRows(rows, pgx.RowToStructByName[item])
		return fmt.Sprint(all, describe(err))
	},
	"savepoint": func(context.Context, pgx.Tx) string { return "" },
}
