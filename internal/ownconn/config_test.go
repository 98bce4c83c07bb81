package ownconn_test

import (
	"context"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// Everything that a connection or a pool can be configured with has its fate in the comment on sanitise. A field that a
// new version of pgx brings fails this test until someone has decided on it.
func TestEveryFieldHasAFate(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("config.go")
	require.NoError(t, err)
	comment, _, ok := strings.Cut(string(source), "func sanitise(")
	require.True(t, ok)
	named := make(map[string]bool)
	for _, word := range regexp.MustCompile(`\w+`).FindAllString(comment, -1) {
		named[word] = true
	}
	require.Contains(t, comment, "and all numbers", "what the pool counts and times")

	for _, kind := range []reflect.Type{reflect.TypeFor[pgconn.Config](), reflect.TypeFor[pgx.ConnConfig](), reflect.TypeFor[pgxpool.Config]()} {
		for i := range kind.NumField() {
			field := kind.Field(i)
			number := kind == reflect.TypeFor[pgxpool.Config]() && field.Type.Kind() != reflect.Func
			if !field.IsExported() || field.Anonymous || number {
				continue
			}
			require.True(t, named[field.Name], "%s.%s: say in the comment on sanitise what becomes of it", kind, field.Name)
		}
	}
}

// hooks counts what was called.
type hooks struct{ trace, notice, notification, validate, watcher, pgError int }

func (h *hooks) TraceQueryStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryStartData) context.Context {
	h.trace++
	return ctx
}

func (h *hooks) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (h *hooks) HandleCancel(context.Context) { h.watcher++ }
func (h *hooks) HandleUnwatchAfterCancel()    {}

// What is for the application's own statements is not called for ours, and notifications arrive.
func TestHooksOfTheApplication(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, nil)
	h := &hooks{}
	config := poolConfig(t, db)
	config.ConnConfig.Tracer = h
	config.ConnConfig.OnNotice = func(*pgconn.PgConn, *pgconn.Notice) { h.notice++ }
	config.ConnConfig.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) { h.notification++ }
	config.ConnConfig.ValidateConnect = func(context.Context, *pgconn.PgConn) error { h.validate++; return nil }
	config.ConnConfig.BuildContextWatcherHandler = func(*pgconn.PgConn) ctxwatch.Handler { return h }
	config.ConnConfig.OnPgError = func(*pgconn.PgConn, *pgconn.PgError) bool { h.pgError++; return true }
	config.ConnConfig.MaxProtocolMessageBodyLen = 100
	config.ConnConfig.StatementCacheCapacity = 0

	conn := dial(t, dialer(t, config))
	_, err := conn.Exec(ctx, "DO $$ BEGIN RAISE WARNING 'x'; END $$")
	require.NoError(t, err)
	require.Len(t, text(t, conn, "SELECT repeat('x', 1000)"), 1000)
	_, err = conn.Exec(ctx, `LISTEN c`)
	require.NoError(t, err)
	_, err = conn.Exec(ctx, `NOTIFY c, 'payload'`)
	require.NoError(t, err)
	n, err := conn.WaitForNotification(ctx)
	require.NoError(t, err)
	require.Equal(t, "payload", n.Payload)
	_, err = conn.Exec(ctx, "SELECT 1/0")
	require.Error(t, err)

	brief, cancel := context.WithCancel(ctx)
	cancel()
	_, err = conn.WaitForNotification(brief)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, hooks{}, *h)
}

// BeforeConnect and both AfterConnect are the application's way to log in, so they are called; what they set is
// overwritten, and channels that they listen to are left.
func TestHooksOfTheLogin(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	role := db.Name + "_role"
	_, err := db.Pool(t).Exec(t.Context(), `CREATE ROLE "`+role+`"`)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = db.Pool(t).Exec(context.Background(), `DROP ROLE "`+role+`"`) })

	config := poolConfig(t, db)
	user := config.ConnConfig.User
	config.ConnConfig.User = "nobody of this name"
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		c.User = user
		c.RuntimeParams["DateStyle"] = "German"
		c.RuntimeParams["Application_Name"] = "application"
		c.RuntimeParams["work_mem"] = "123kB"
		return nil
	}
	config.ConnConfig.AfterConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
		_, err := conn.Exec(ctx, "SET statement_timeout = 4321; LISTEN foreign_channel").ReadAll()
		return err
	}
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, `SET ROLE "`+role+`"; SET search_path = public; SET DateStyle = 'SQL'`)
		return err
	}
	conn := dial(t, dialer(t, config))
	require.Equal(t, role, text(t, conn, "SELECT current_user"))
	for name, want := range map[string]string{
		"application_name": "test", "DateStyle": "ISO, MDY", "statement_timeout": "0", "search_path": "pg_catalog, pg_temp", "work_mem": "123kB",
	} {
		require.Equal(t, want, text(t, conn, "SELECT current_setting($1)", name), name)
	}
	require.Equal(t, "0", text(t, conn, "SELECT count(*)::text FROM pg_listening_channels()"))
}
