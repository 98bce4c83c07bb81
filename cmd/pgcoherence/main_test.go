package main

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/tables"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

func TestMain(m *testing.M) {
	testscript.Main(pgtest.Main(m), map[string]func(){"pgcoherence": func() { os.Exit(run(os.Args[1:])) }})
}

var quiet = slog.New(slog.DiscardHandler)

var template = tables.Template("cli")

// TestScripts runs testdata/*.txtar, each on a database of its own with all tables; one whose name begins with "empty"
// gets a database without any. Besides testscript's own commands there are:
//
//	sql STATEMENT          run SQL, with ` for a quote
//	eventually STATEMENT   wait until a statement returns true
//	session USER NAME      begin a session, whose id is then in $NAME
//	pod NAME               run a pod until the script ends
func TestScripts(t *testing.T) {
	t.Parallel()
	scripts, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, scripts)

	for _, script := range scripts {
		name := strings.TrimSuffix(filepath.Base(script), ".txtar")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from := template
			if strings.HasPrefix(name, "empty") {
				from = nil
			}
			db := pgtest.New(t, from)
			f := &fixture{dsn: db.DSN, pool: db.Pool(t)}
			testscript.Run(t, testscript.Params{
				Files: []string{script}, RequireExplicitExec: true, RequireUniqueNames: true,
				Setup: func(env *testscript.Env) error {
					env.Setenv(envDSN, f.dsn)
					env.Setenv("DSN", f.dsn)
					return nil
				},
				Cmds: map[string]func(*testscript.TestScript, bool, []string){
					"sql": f.sql, "eventually": f.eventually, "session": f.session, "pod": f.startPod,
				},
			})
		})
	}
}

// fixture is the database of one script.
type fixture struct {
	dsn  string
	pool *pgxpool.Pool
}

// statement puts quotes in, which mean something else in a script.
func statement(args []string) string { return strings.ReplaceAll(strings.Join(args, " "), "`", "'") }

func (f *fixture) sql(ts *testscript.TestScript, neg bool, args []string) {
	_, err := f.pool.Exec(context.Background(), statement(args), pgx.QueryExecModeSimpleProtocol)
	if neg != (err != nil) {
		ts.Fatalf("sql: %v", err)
	}
}

func (f *fixture) eventually(ts *testscript.TestScript, _ bool, args []string) {
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		var yes bool
		err := f.pool.QueryRow(context.Background(), "SELECT ("+statement(args)+")").Scan(&yes)
		if err == nil && yes {
			return
		}
		if time.Since(begin) > time.Minute {
			ts.Fatalf("eventually: not within a minute: %v", err)
		}
	}
}

func (f *fixture) session(ts *testscript.TestScript, _ bool, args []string) {
	ctx := context.Background()
	b, err := bus.NewPostgres(f.pool, &bus.Config{Logger: quiet})
	ts.Check(err)
	store, err := sessionstore.New(b, f.pool, &sessionstore.Config[[]byte]{Codec: sessionstore.Bytes(), Logger: quiet})
	ts.Check(err)
	defer func() { ts.Check(store.Close()) }()
	login, err := store.BeginLogin(ctx, args[0])
	ts.Check(err)
	_, s, err := store.Create(ctx, login, []byte("private"), nil)
	ts.Check(err)
	ts.Setenv(args[1], s.ID.String())
}

func (f *fixture) startPod(ts *testscript.TestScript, _ bool, args []string) {
	b, err := bus.NewPostgres(f.pool, &bus.Config{Name: args[0], Version: "v1.2.3", Logger: quiet})
	ts.Check(err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.Run(ctx) }()
	ts.Defer(func() {
		stop()
		ts.Check(<-ended)
	})

	select {
	case <-b.Ready():
	case <-time.After(time.Minute):
		ts.Fatalf("pod %s is not in sync", args[0])
	}
}

func TestMask(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"postgres://app:hunter2@db:5432/shop?sslmode=require": "postgres://app:…@db:5432/shop?sslmode=require",
		"postgres://app@db/shop":                              "postgres://app@db/shop",
		"postgres://db/shop?password=hunter2":                 "postgres://db/shop?password=…",
		"host=db password=hunter2 user=app":                   "host=db password=… user=app",
		"host=db password='hunter 2' user=app":                "host=db password=… user=app",
		`password = 'it\'s hunter2' host=db`:                  `password = … host=db`,
		"":                                                    "",
	} {
		got := maskDSN(in)
		require.NotContains(t, got, "hunter2")
		require.Equal(t, want, got)
	}
}

func TestPrintable(t *testing.T) {
	t.Parallel()
	require.Equal(t, "a�[31mb", printable("a\x1b[31mb"))
	require.Equal(t, "zażółć 日本", printable("zażółć 日本"))
}
