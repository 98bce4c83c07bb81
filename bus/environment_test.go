package bus_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// environments are settings that somebody may have made for the whole database, by name.
var environments = map[string][]string{
	"formats": {
		"datestyle = 'German, DMY'", "intervalstyle = 'sql_standard'", "timezone = 'Asia/Kathmandu'", "bytea_output = 'escape'",
		"extra_float_digits = -10", "xmloption = 'document'", "quote_all_identifiers = on", "array_nulls = off",
	},
	"time-outs": {
		"statement_timeout = '300ms'", "lock_timeout = '100ms'", "idle_in_transaction_session_timeout = '300ms'", "idle_session_timeout = '900ms'",
	},
	"serializable":    {"default_transaction_isolation = 'serializable'", "default_transaction_deferrable = on"},
	"repeatable read": {"default_transaction_isolation = 'repeatable read'", "synchronous_commit = off"},
	"read only":       {"default_transaction_read_only = on"},
	"search path":     {"search_path = 'nowhere, pgcoherence'", "row_security = off", "escape_string_warning = off"},
	"planner": {
		"plan_cache_mode = force_generic_plan", "enable_indexscan = off", "enable_nestloop = off", "jit = on", "jit_above_cost = 0",
		"parallel_setup_cost = 0", "parallel_tuple_cost = 0",
	},
	"encoding": {"client_encoding = 'LATIN1'"},
	"replica":  {"session_replication_role = replica"},
}

// Whatever is set for the database, and however the pool talks to it, a bus works, through the pool's connections as
// well as its own.
func TestEnvironments(t *testing.T) {
	t.Parallel()
	for name, settings := range environments {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, admin := setup(t)
			for _, setting := range settings {
				_, err := admin.Exec(t.Context(), fmt.Sprintf("ALTER DATABASE %q SET %s", db.Name, setting))
				require.NoError(t, err)
			}

			for _, mode := range execModes {
				t.Run(mode.String(), func(t *testing.T) {
					t.Parallel()

					if mode == pgx.QueryExecModeSimpleProtocol && name == "encoding" {
						t.Skip("\n*** NOT TESTED: pgx refuses this mode itself unless client_encoding is UTF8")
					}

					config, err := pgxpool.ParseConfig(db.DSN)
					require.NoError(t, err)
					config.ConnConfig.DefaultQueryExecMode = mode

					// What the settings make of the pool's idle connections is no matter of the bus.
					config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return true }
					checkWorks(t, config, name != "read only")
				})
			}
		})
	}
}

// Behind a pooler in transaction mode the settings of a session are not ours to make. The texts that statements return
// are all the same what they have to be.
func TestFormatsBehindPgBouncer(t *testing.T) {
	t.Parallel()
	db, admin := setup(t)
	for _, setting := range environments["formats"] {
		_, err := admin.Exec(t.Context(), fmt.Sprintf("ALTER DATABASE %q SET %s", db.Name, setting))
		require.NoError(t, err)
	}

	through := pgbouncer(t, db)
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol} {
		config, err := pgxpool.ParseConfig(through)
		require.NoError(t, err)
		config.ConnConfig.DefaultQueryExecMode = mode
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		require.NoError(t, err)
		t.Cleanup(pool.Close)
		cfg := quick("pooled")
		cfg.Mode = bus.Poll
		p := start(t, pool, cfg)
		_, err = pool.Exec(t.Context(), "SELECT pgcoherence.invalidate('item', $1)", mode.String())
		require.NoError(t, err)
		eventually(t, func() bool { return p.has(mode.String()) }, "read")
		_, err = p.Pods(t.Context())
		require.NoError(t, err)
	}
}

// checkWorks runs two buses over a pool, and checks every statement that they have: those of the pool, too, unless the
// pool is of no use for writing.
func checkWorks(t *testing.T, config *pgxpool.Config, publishes bool) {
	t.Helper()
	ctx := t.Context()
	pool, err := pgxpool.NewWithConfig(ctx, config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	a, b := start(t, pool, quick("a")), start(t, pool, quick("b"))

	pods, err := a.Pods(ctx)
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(pods), 2)
	for _, p := range pods {
		require.WithinDuration(t, time.Now(), p.Started, 10*time.Minute)
		require.Less(t, p.Age, 10*time.Minute)
	}
	if publishes {
		r, err := a.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"published"}})
		require.NoError(t, err)
		eventually(t, func() bool { return b.has("published") }, "published")
		require.NoError(t, a.Confirm(ctx, r))
	}

	// A writer that knows nothing of the library.
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadWrite})
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "SELECT pgcoherence.invalidate('item', 'in SQL')")
	require.NoError(t, err)
	require.NoError(t, tx.Commit(ctx))
	eventually(t, func() bool { return a.has("in SQL") && b.has("in SQL") }, "swept")
	for _, p := range []*pod{a, b} {
		require.Equal(t, bus.Live, p.State())
		for _, d := range p.all() {
			require.WithinDuration(t, time.Now(), d.CommittedAt, 10*time.Minute)
		}
	}
}

// What the pool is configured with beside settings does no harm: hooks of all kinds, and addresses that lead nowhere.
func TestPoolHooks(t *testing.T) {
	t.Parallel()
	for name, set := range map[string]func(*testing.T, *pgxpool.Config){
		"OnNotification": func(_ *testing.T, c *pgxpool.Config) {
			c.ConnConfig.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {}
		},
		"context watcher": func(_ *testing.T, c *pgxpool.Config) {
			c.ConnConfig.BuildContextWatcherHandler = func(conn *pgconn.PgConn) ctxwatch.Handler {
				return &pgconn.CancelRequestContextWatcherHandler{Conn: conn, CancelRequestDelay: time.Hour, DeadlineDelay: time.Hour}
			}
		},
		"AfterConnect": func(t *testing.T, c *pgxpool.Config) {
			role := c.ConnConfig.Database + "_worker"
			pool, err := pgxpool.NewWithConfig(t.Context(), c.Copy())
			require.NoError(t, err)
			t.Cleanup(pool.Close)
			_, err = pool.Exec(t.Context(), fmt.Sprintf("CREATE ROLE %[1]q; CREATE ROLE %[2]q LOGIN PASSWORD 'l' NOINHERIT; GRANT %[1]q TO %[2]q", role, role+"_login"))
			require.NoError(t, err)
			t.Cleanup(func() {
				_, _ = pool.Exec(context.Background(), fmt.Sprintf("DROP OWNED BY %[1]q; DROP ROLE %[1]q; DROP ROLE %[2]q", role, role+"_login"))
			})
			require.NoError(t, bus.Migrate(t.Context(), pool, &bus.MigrateConfig{AppRole: role, Logger: quiet}))
			c.ConnConfig.User, c.ConnConfig.Password = role+"_login", "l"
			c.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
				_, err := conn.Exec(ctx, fmt.Sprintf("SET ROLE %q; LISTEN something_else", role))
				return err
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, _ := setup(t)
			config, err := pgxpool.ParseConfig(db.DSN)
			require.NoError(t, err)
			set(t, config)
			checkWorks(t, config, true)
		})
	}
}

// A start that cannot succeed ends, or goes on trying, with one error in the log that says why and what to do.
func TestStartIsLoud(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		sql   string // before the start, as the owner; %[1]q is the role of the pool
		dsn   func(*pgxpool.Config)
		is    error
		wants []string
	}{
		"no schema": {
			sql: "DROP SCHEMA pgcoherence CASCADE", is: bus.ErrSchema, wants: []string{"call bus.Migrate"},
		},
		"no right to the schema": {
			sql: "REVOKE ALL ON SCHEMA pgcoherence FROM %[1]q", is: bus.ErrPrivilege, wants: []string{"permission denied for schema pgcoherence", "AppRole"},
		},
		"no right to the version": {
			sql: "REVOKE ALL ON pgcoherence.migration FROM %[1]q", is: bus.ErrPrivilege, wants: []string{"SELECT ON migration", "AppRole"},
		},
		"no right to a function": {
			sql:   "REVOKE ALL ON FUNCTION pgcoherence.identity() FROM PUBLIC, %[1]q",
			is:    bus.ErrPrivilege,
			wants: []string{"EXECUTE ON FUNCTION identity()", "AppRole"},
		},
		"row level security on the log": {
			sql: "ALTER TABLE pgcoherence.event ENABLE ROW LEVEL SECURITY; CREATE POLICY p ON pgcoherence.event FOR INSERT TO %[1]q WITH CHECK (true)",
			is:  bus.ErrPrivilege, wants: []string{"row level security hides rows of event", "BYPASSRLS"},
		},
		"row level security on every table": {
			sql: `DO $$ DECLARE t regclass; BEGIN FOR t IN SELECT oid FROM pg_class WHERE relnamespace = 'pgcoherence'::regnamespace AND relkind = 'r'
				LOOP EXECUTE 'ALTER TABLE ' || t || ' ENABLE ROW LEVEL SECURITY'; END LOOP; END $$`,
			is: bus.ErrPrivilege, wants: []string{"row level security hides rows of", "migration", "BYPASSRLS"},
		},
		"password": {
			dsn: func(c *pgxpool.Config) { c.ConnConfig.User = "nobody of this name" }, wants: []string{"nobody of this name", "pg_hba.conf"},
		},
		"database": {
			dsn: func(c *pgxpool.Config) { c.ConnConfig.Database = "nowhere" }, wants: []string{"nowhere", "check user, password and database"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config, app := appRole(t)
			if test.sql != "" {
				sql := test.sql
				if strings.Contains(sql, "%[1]q") {
					sql = fmt.Sprintf(sql, config.ConnConfig.User)
				}
				_, err := app.Exec(t.Context(), sql)
				require.NoError(t, err)
			}
			if test.dsn != nil {
				test.dsn(config)
			}
			pool, err := pgxpool.NewWithConfig(t.Context(), config)
			require.NoError(t, err)
			t.Cleanup(pool.Close)

			log := &logBuffer{}
			cfg := quick("a")
			cfg.Logger = slog.New(slog.NewTextHandler(log, nil))
			p := prepare(t, pool, cfg)
			states, stop := p.WatchState()
			defer stop()
			require.Equal(t, bus.Starting, <-states)
			err = p.Run(t.Context())
			require.Error(t, err)
			if test.is != nil {
				require.ErrorIs(t, err, test.is)
			}
			require.Equal(t, bus.Closed, <-states)
			require.Equal(t, 1, log.count("level=ERROR"), log.text.String())
			require.Equal(t, 1, log.count("bus cannot start"))
			for _, want := range test.wants {
				require.Positive(t, log.count(want), "%s: %s", want, log.text.String())
			}
			if name != "no schema" {
				require.NotErrorIs(t, err, bus.ErrSchema, "what is hidden is not missing")
			}
		})
	}
}

// appRole is a database whose bus is used by a role that Migrate granted what it needs, in a cluster that grants nothing
// to the public; and a pool of the owner.
func appRole(t *testing.T) (app *pgxpool.Config, owner *pgxpool.Pool) {
	t.Helper()
	db := pgtest.New(t, nil)
	owner = db.Pool(t)
	role := db.Name + "_app"
	_, err := owner.Exec(t.Context(), fmt.Sprintf(`CREATE ROLE %q LOGIN PASSWORD 'app'; ALTER DEFAULT PRIVILEGES REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC`, role))
	require.NoError(t, err)
	t.Cleanup(func() {
		_, _ = owner.Exec(context.Background(), fmt.Sprintf(`DROP OWNED BY %[1]q; DROP ROLE %[1]q; ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC`, role))
	})
	require.NoError(t, bus.Migrate(t.Context(), owner, &bus.MigrateConfig{AppRole: role, Logger: quiet}))
	app, err = pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	app.ConnConfig.User, app.ConnConfig.Password = role, "app"
	return app, owner
}

// Where functions are not granted to everybody, AppRole gets those that it needs, and Run and SQL writers work.
func TestAppRoleGetsFunctions(t *testing.T) {
	t.Parallel()
	config, owner := appRole(t)
	checkWorks(t, config, true)

	var denied []string
	require.NoError(t, owner.QueryRow(t.Context(), `SELECT coalesce(array_agg(oid::regprocedure::text), '{}') FROM pg_proc
		WHERE pronamespace = 'pgcoherence'::regnamespace AND prokind = 'f' AND prorettype <> 'trigger'::regtype AND NOT has_function_privilege($1, oid, 'EXECUTE')`,
		config.ConnConfig.User).Scan(&denied))
	require.Empty(t, denied, "functions that AppRole was not granted")
}

// Every function and table that a statement of the bus names is one that the start checks, but for what only people who
// look at pages need.
func TestStartChecksWhatStatementsNeed(t *testing.T) {
	t.Parallel()
	queries := bus.Queries("s")
	privileges := queries["privileges"]
	for name, sql := range queries {
		for _, part := range strings.Split(sql, `"s".`)[1:] {
			object := part[:strings.IndexFunc(part+" ", func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') })]
			if object != "" && object != "pod_question" && object != "pod_reply" {
				require.Contains(t, privileges, "('"+object, "%s names %s", name, object)
			}
		}
	}
}
