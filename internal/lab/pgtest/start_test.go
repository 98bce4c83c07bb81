package pgtest_test

import (
	"bufio"
	"bytes"
	"context"
	"log/slog"
	"net/url"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestStart_UnknownKindNamesVariableAndValue(t *testing.T) {
	t.Setenv(pgtest.EnvKind, "sqlite")
	_, err := pgtest.Start(t.Context(), nil)
	require.EqualError(t, err, `pgtest: PGCOHERENCE_POSTGRES="sqlite": want dsn, binaries, container, download`)

	_, err = pgtest.Start(t.Context(), &pgtest.Config{Kind: "oracle"})
	require.ErrorContains(t, err, `Config.Kind is "oracle"`)
}

func TestStart_ReservedSetting(t *testing.T) {
	t.Parallel()
	_, err := pgtest.Start(t.Context(), &pgtest.Config{Settings: map[string]string{"port": "5432"}})
	require.EqualError(t, err, "pgtest: Config.Settings: port cannot be set")
}

func TestStart_CrashableContradictsKind(t *testing.T) {
	t.Parallel()
	_, err := pgtest.Start(t.Context(), &pgtest.Config{Kind: pgtest.KindContainer, Crashable: true})
	require.ErrorIs(t, err, pgtest.ErrUnsupported)
	require.ErrorContains(t, err, "container")
}

func TestStart_ErrorListsWhatWasTried(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	require.NoError(t, err)

	// With a home directory of its own, in which embedded-postgres keeps archives, but
	// with the go tool's own directories, which are below the home by default.
	child := osexec.Command(self)
	child.Env = append(os.Environ(),
		childVariable+"=any", "HOME="+t.TempDir(), "DOCKER_HOST=tcp://127.0.0.1:1", pgtest.EnvKind+"=",
		pgtest.EnvImage+"=127.0.0.1:1/none", // an engine may still be found elsewhere
		pgtest.EnvDatabaseURL+"=postgres://nobody:secret@127.0.0.1:1/x",
		pgtest.EnvBinaries+"="+filepath.Join(t.TempDir(), "none"))

	directories, err := osexec.Command("go", "env", "GOCACHE", "GOMODCACHE").Output()
	require.NoError(t, err)
	cache, modules, _ := strings.Cut(strings.TrimSpace(string(directories)), "\n")
	child.Env = append(child.Env, "GOCACHE="+cache, "GOMODCACHE="+modules)
	out, err := child.Output()
	require.Error(t, err)
	text := string(out)
	require.True(t, strings.HasPrefix(text, pgtest.ErrUnavailable.Error()+"\n"), text)

	for _, kind := range []string{"dsn:", "binaries: PGCOHERENCE_POSTGRES_BIN:", "container:", "download:"} {
		require.Contains(t, text, "\n"+kind)
	}

	require.Contains(t, text, "\nto get one, set PGCOHERENCE_DATABASE_URL")
	require.NotContains(t, text, "go build", "the programs were built, and failed on their own")
	require.NotContains(t, text, "secret")
}

func TestStart_FirstThatWorksIsLoggedOnce(t *testing.T) {
	pgtest.RequireBinaries(t)
	t.Setenv(pgtest.EnvKind, "")
	var log bytes.Buffer
	server, err := pgtest.Start(t.Context(), &pgtest.Config{
		DatabaseURL: "postgres://nobody:secret@127.0.0.1:1/x",
		Logger:      slog.New(slog.NewTextHandler(&log, nil)),
	})
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Close()) }()

	require.Equal(t, pgtest.KindBinaries, server.Kind())
	require.Equal(t, 1, strings.Count(log.String(), "\n"), log.String())
	require.Contains(t, log.String(), "kind=binaries")
	require.Contains(t, log.String(), "passed_over=\"dsn:")
	require.NotContains(t, log.String(), "secret")
}

func TestStart_DSNTakesURLsAndKeywords(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	config, err := pgx.ParseConfig(db.DSN)
	require.NoError(t, err)
	keywords := "host=" + config.Host + " port=" + itoa(int(config.Port)) + " user=" + config.User +
		" password='" + config.Password + "' dbname=" + db.Name
	withQuery, err := url.Parse(db.DSN)
	require.NoError(t, err)

	// A database in the query wins over the one in the path.
	values := withQuery.Query()
	values.Set("dbname", db.Name)

	withQuery.RawQuery = values.Encode()
	for _, dsn := range []string{db.DSN, keywords, withQuery.String()} {
		server, err := pgtest.Start(t.Context(), &pgtest.Config{Kind: pgtest.KindDSN, DatabaseURL: dsn})
		require.NoError(t, err)
		require.Equal(t, pgtest.KindDSN, server.Kind())
		require.Equal(t, db.Server.Version(), server.Version())
		require.Equal(t, db.Name, query[string](t, server.DSN(""), "select current_database()"))
		require.Equal(t, "template1", query[string](t, server.DSN("template1"), "select current_database()"))
		require.NoError(t, server.Close())
	}

	require.Equal(t, 1, query[int](t, db.DSN, "select 1"), "Close must leave a server that is not ours alone")
}

func TestStart_DSNServerSupportsNoFaults(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start(t.Context(), &pgtest.Config{Kind: pgtest.KindDSN, DatabaseURL: pgtest.New(t, nil).DSN})
	require.NoError(t, err)
	defer func() { require.NoError(t, server.Close()) }()
	ctx := t.Context()
	_, standbyErr := server.Standby(ctx)
	for _, err := range []error{
		server.Stop(ctx), server.StopImmediate(ctx), server.Start(ctx), server.Restart(ctx, pgtest.Fast),
		server.Crash(ctx), server.KillBackend(1), server.Promote(ctx), standbyErr,
	} {
		require.ErrorIs(t, err, pgtest.ErrUnsupported)
		require.ErrorContains(t, err, "dsn")
	}
}

func TestStart_BinariesBehindALink(t *testing.T) {
	pgtest.RequireBinaries(t)
	bin := t.TempDir()
	// Some machines have a link to postgres alone on PATH.
	require.NoError(t, os.Symlink(filepath.Join(pgtest.LocalBinaries(t), "postgres"), filepath.Join(bin, "postgres")))
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	t.Setenv(pgtest.EnvBinaries, "")
	server, err := pgtest.Start(t.Context(), &pgtest.Config{Kind: pgtest.KindBinaries})
	require.NoError(t, err)
	require.NoError(t, server.Close())
}

func TestStart_Container(t *testing.T) {
	t.Parallel()

	if os.Getenv(pgtest.EnvImage) == "" {
		t.Skip("\n*** NOT TESTED: containers: set PGCOHERENCE_POSTGRES_IMAGE, see .ci/docker-image.sh")
	}

	server, err := pgtest.Start(t.Context(), &pgtest.Config{
		Kind: pgtest.KindContainer, Settings: map[string]string{"max_connections": "33"},
	})
	require.NoError(t, err)
	require.Equal(t, pgtest.KindContainer, server.Kind())
	require.Equal(t, "33", query[string](t, server.DSN(""), "show max_connections"))
	require.ErrorIs(t, server.Crash(t.Context()), pgtest.ErrUnsupported)
	require.NoError(t, server.Close())
	_, err = pgx.Connect(t.Context(), server.DSN(""))
	require.Error(t, err)
}

func TestStart_ContainerGoesWithItsOwner(t *testing.T) {
	t.Parallel()
	if os.Getenv(pgtest.EnvImage) == "" {
		t.Skip("\n*** NOT TESTED: containers: set PGCOHERENCE_POSTGRES_IMAGE, see .ci/docker-image.sh")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	child := osexec.Command(self)
	child.Env = append(os.Environ(), childVariable+"=any", pgtest.EnvKind+"=container")
	child.Stderr = os.Stderr
	stdin, err := child.StdinPipe() // ends the child if this test dies
	require.NoError(t, err)
	defer func() { _ = stdin.Close() }()
	stdout, err := child.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, child.Start())
	line, err := bufio.NewReader(stdout).ReadString('\n')
	require.NoError(t, err)
	dsn := strings.TrimSpace(line)
	require.Equal(t, 1, query[int](t, dsn, "select 1"))

	require.NoError(t, child.Process.Kill())
	require.Error(t, child.Wait(), "killed")
	require.Eventually(t, func() bool {
		conn, err := pgx.Connect(t.Context(), dsn)
		if err != nil {
			return true
		}
		_ = conn.Close(t.Context())
		return false
	}, time.Minute, 100*time.Millisecond, "the container outlives its owner")
}

func TestStart_ContextEnds(t *testing.T) {
	t.Parallel()
	pgtest.RequireBinaries(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := pgtest.Start(ctx, &pgtest.Config{Crashable: true})
	require.ErrorIs(t, err, context.Canceled)
}

func TestStart_WrongPassword(t *testing.T) {
	t.Parallel()
	server := pgtest.NewServer(t, &pgtest.Config{Password: `it's a "secret"/\`})
	require.Equal(t, "postgres", query[string](t, server.DSN(""), "select current_user"))
	config, err := pgx.ParseConfig(server.DSN(""))
	require.NoError(t, err)
	config.Password = "wrong"
	_, err = pgx.ConnectConfig(t.Context(), config)
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, "28P01", pgErr.Code)
}
