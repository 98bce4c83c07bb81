package lock_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
)

// program finds a program of which a check succeeds. Without one the test says so, and fails where all has to be there.
func program(t *testing.T, check string, names ...string) string {
	t.Helper()
	for _, name := range names {
		args := strings.Fields(check)
		if strings.HasPrefix(check, "import") {
			args = []string{"-c", check}
		}
		if exec.Command(name, args...).Run() == nil {
			return name
		}
	}
	pgtest.Missing(t, "none of %v works with %q", names, check)
	return ""
}

// The lifecycle of a lease by SQL functions alone, and beside Go: who is refused what.
func TestSQLFunctions(t *testing.T) {
	t.Parallel()
	ctx := within(t)
	_, pool := setup(t)
	l, _ := start(t, nil, pool, config("go"))
	type grant struct {
		token   *int64
		holder  *string
		retryMS *int64
	}
	acquire := func(key string, waiter *string) (g grant) {
		require.NoError(t, pool.QueryRow(ctx, `SELECT token, holder, (extract(epoch FROM retry_in) * 1000)::bigint
			FROM pgcoherence.lease_acquire($1, 'sql', '15 s', $2::text::uuid, '{"job": "x"}')`, key, waiter).Scan(&g.token, &g.holder, &g.retryMS))
		return g
	}
	is := func(sql string, args ...any) (ok bool) {
		require.NoError(t, pool.QueryRow(ctx, sql, args...).Scan(&ok))
		return ok
	}
	state := func(err error) string {
		var pgErr *pgconn.PgError
		require.ErrorAs(t, err, &pgErr)
		return pgErr.Code
	}

	first := acquire("k", nil)
	require.NotNil(t, first.token)
	_, err := l.TryAcquire(ctx, "k")
	var held *lock.HeldError
	require.ErrorAs(t, err, &held)
	require.Equal(t, "sql", held.Owner)
	require.Equal(t, map[string]string{"job": "x"}, held.Metadata)
	require.Equal(t, "sql", *acquire("k", nil).holder)
	require.True(t, is("SELECT pgcoherence.lease_renew('k', $1, '20 s')", *first.token))
	require.False(t, is("SELECT pgcoherence.lease_renew('k', $1, '20 s')", *first.token-1))
	_, err = pool.Exec(ctx, "SELECT pgcoherence.lease_guard('k', $1)", *first.token)
	require.NoError(t, err)
	_, err = pool.Exec(ctx, "SELECT pgcoherence.lease_guard('k', $1)", *first.token-1)
	require.Equal(t, "55000", state(err))

	tx, err := pool.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "SELECT pgcoherence.lease_guard('k', $1)", *first.token)
	require.NoError(t, err)
	require.True(t, is("SELECT pgcoherence.lease_release('k', $1)", *first.token))
	require.False(t, is("SELECT pgcoherence.lease_release('k', $1)", *first.token))
	_, err = l.TryAcquire(ctx, "k")
	require.ErrorAs(t, err, &held)
	require.True(t, held.Guarded, "the guard of SQL excludes Go")
	require.NoError(t, tx.Rollback(ctx))
	lease, err := l.Acquire(ctx, "k")
	require.NoError(t, err)
	require.Greater(t, lease.Token(), *first.token)

	// A lost answer is asked for again; a wish that is given up leaves nothing.
	id := uuid.NewString()
	require.Nil(t, acquire("k", &id).token)
	require.NoError(t, lease.Release(ctx))
	again := acquire("k", &id)
	require.NotNil(t, again.token)
	require.Equal(t, again.token, acquire("k", &id).token)
	_, err = pool.Exec(ctx, "SELECT pgcoherence.lease_leave('k', $1::text::uuid)", id)
	require.NoError(t, err)
	next, err := l.TryAcquire(ctx, "k")
	require.NoError(t, err)
	require.NoError(t, next.Release(ctx))

	for _, bad := range []string{"'', 'o', '15 s'", "repeat('k', 1025), 'o', '15 s'", "'k', 'o', '0.5 s'", "'k', 'o', '25 h'", "'k', NULL, '15 s'", "'k', 'o', NULL"} {
		_, err := pool.Exec(ctx, "SELECT pgcoherence.lease_acquire("+bad+")")
		require.Equal(t, "22023", state(err), bad)
	}
	_, err = pool.Exec(ctx, "UPDATE pgcoherence.incarnation SET server = '-infinity'; ALTER SEQUENCE pgcoherence.lease_token RESTART")
	require.NoError(t, err)
	require.Greater(t, *acquire("k", nil).token, next.Token(), "another server")
	require.NotNil(t, acquire("new", nil).token)
}

// What the documentation shows for psql.
func TestPsql(t *testing.T) {
	t.Parallel()
	psql := program(t, "--version", "psql")
	ctx := within(t)
	db, pool := setup(t)
	l, _ := start(t, nil, pool, config("go"))

	shell := func() string {
		out, err := exec.CommandContext(ctx, psql, db.DSN, "-X", "-v", "ON_ERROR_STOP=1", "-v", "key=report", "-v", "owner=cron", "-f", "clients/lease.psql").CombinedOutput()
		require.NoError(t, err, "%s", out)
		return string(out)
	}
	require.Regexp(t, `token \d+ renewed t released t`, shell())
	lease, err := l.TryAcquire(ctx, "report")
	require.NoError(t, err)
	require.Contains(t, shell(), "held by go")
	require.NoError(t, lease.Release(ctx))
}

// jdbc finds the JDBC driver of Postgres: where PGCOHERENCE_JDBC says, or where Debian's libpostgresql-jdbc-java puts it.
func jdbc(t *testing.T) string {
	t.Helper()
	jar := cmp.Or(os.Getenv("PGCOHERENCE_JDBC"), "/usr/share/java/postgresql.jar")
	if _, err := os.Stat(jar); err != nil {
		pgtest.Missing(t, "no JDBC driver: %v", err)
	}
	return jar
}

// What the documentation shows for Java compiles, and contends with Go in one queue.
func TestJavaAndGoInOneQueue(t *testing.T) {
	t.Parallel()
	javac, java, jar := program(t, "-version", "javac"), program(t, "-version", "java"), jdbc(t)
	ctx := within(t)
	classes := t.TempDir()
	out, err := exec.CommandContext(ctx, javac, "-Xlint:all", "-Werror", "-d", classes, "clients/Lease.java", "testdata/java/Contend.java").CombinedOutput()
	require.NoError(t, err, "%s", out)

	db, pool := setup(t)
	address, err := pgx.ParseConfig(db.DSN)
	require.NoError(t, err)
	url := fmt.Sprintf("jdbc:postgresql://%s/%s?sslmode=disable", net.JoinHostPort(address.Host, strconv.Itoa(int(address.Port))), address.Database)
	startJava := func(owner string) *client {
		return startClient(t, exec.CommandContext(ctx, java, "-cp", classes+string(os.PathListSeparator)+jar, "Contend", url, address.User, address.Password, owner))
	}
	l, _ := start(t, startBus(t, pool), pool, config("go"))
	first, err := l.Acquire(ctx, "k")
	require.NoError(t, err)
	one := startJava("one")
	eventually(t, func() bool {
		info, err := l.Inspect(ctx, "k")
		return err == nil && info.Waiters == 1
	}, "it waits")
	third := queue(t, ctx, l, "k", 2)
	require.NoError(t, first.Release(ctx))
	token := one.token(t)
	require.Greater(t, token, first.Token())
	require.Equal(t, "true", one.ask(t, "renew"))
	require.Equal(t, "guarded", one.ask(t, "guard"))
	require.Equal(t, "true", one.ask(t, "release"))
	next := taken(t, third)
	require.Greater(t, next.Token(), token)
	require.NoError(t, next.Release(ctx))

	victim := startJava("victim")
	_ = victim.token(t)
	thief, err := l.Steal(ctx, "k")
	require.NoError(t, err)
	require.Equal(t, "false", victim.ask(t, "renew"))
	require.Equal(t, "55000", victim.ask(t, "guard"))
	require.Equal(t, "false", victim.ask(t, "release"))
	require.NoError(t, thief.Release(ctx))
}

// pythonClient holds a lease from its acquire until it is told to go on, line by line on its input.
const pythonClient = `
import sys
sys.path.insert(0, %q)
from lease import Lease, Lost
lease = Lease(%q, "k", owner=%q, ttl=2.0)
lease.acquire()
print(lease.token, flush=True)
for line in sys.stdin:
    command = line.strip()
    if command == "guard":
        import psycopg2
        with psycopg2.connect(lease.dsn) as connection, connection.cursor() as cursor:
            try:
                lease.guard(cursor)
                print("guarded", flush=True)
            except psycopg2.Error as e:
                print(e.pgcode, flush=True)
    elif command == "check":
        try:
            lease.check()
            print("held", flush=True)
        except Lost:
            print("lost", flush=True)
    elif command == "release":
        print(lease.release(), flush=True)
        break
`

// client is a running client in another language; its lines of output come through a channel.
type client struct {
	in  io.WriteCloser
	out chan string
}

func startPython(t *testing.T, interpreter, dsn, owner string) *client {
	t.Helper()
	dir, err := filepath.Abs("clients")
	require.NoError(t, err)
	return startClient(t, exec.CommandContext(within(t), interpreter, "-B", "-c", fmt.Sprintf(pythonClient, dir, dsn, owner)))
}

func startClient(t *testing.T, cmd *exec.Cmd) *client {
	t.Helper()
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &client{in: in, out: make(chan string, 10)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.out <- lines.Text()
		}
		_ = cmd.Wait()
	}()

	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Process.Kill()
		<-done
	})

	return p
}

func (p *client) ask(t *testing.T, command string) string {
	t.Helper()
	_, err := io.WriteString(p.in, command+"\n")
	require.NoError(t, err)
	return <-p.out
}

func (p *client) token(t *testing.T) int64 {
	t.Helper()
	token, err := strconv.ParseInt(<-p.out, 10, 64)
	require.NoError(t, err)
	return token
}

// Python and Go in one queue, first come first served, each handing over to the other; tokens grow, a lease that was
// renewed outlives its TTL, and one that was stolen guards nothing.
func TestPythonAndGoInOneQueue(t *testing.T) {
	t.Parallel()
	interpreter := program(t, "import psycopg2", "/usr/bin/python3", "python3")
	ctx := within(t)
	db, pool := setup(t)
	b := startBus(t, pool)
	l, _ := start(t, b, pool, config("go"))
	waiters := func(n int) {
		eventually(t, func() bool {
			info, err := l.Inspect(ctx, "k")
			return err == nil && info.Waiters == n
		}, "%d wait", n)
	}
	one := startPython(t, interpreter, db.DSN, "one")
	last := one.token(t)
	second := queue(t, ctx, l, "k", 1)
	three := startPython(t, interpreter, db.DSN, "three")
	waiters(2)
	four := startPython(t, interpreter, db.DSN, "four")
	waiters(3)
	fifth := queue(t, ctx, l, "k", 4)

	pythonOutlives(t, ctx, pool)
	require.Equal(t, "held", one.ask(t, "check"))
	require.Equal(t, "guarded", one.ask(t, "guard"))
	require.Equal(t, "True", one.ask(t, "release"))
	o := <-second
	require.NoError(t, o.err)
	require.Greater(t, o.lease.Token(), last)
	require.NoError(t, o.lease.Release(ctx))
	for _, p := range []*client{three, four} {
		token := p.token(t)
		require.Greater(t, token, o.lease.Token())
		require.Equal(t, "True", p.ask(t, "release"))
	}
	o = <-fifth
	require.NoError(t, o.err)
	require.NoError(t, o.lease.Release(ctx))

	victim := startPython(t, interpreter, db.DSN, "victim")
	_ = victim.token(t)
	thief, err := l.Steal(ctx, "k")
	require.NoError(t, err)
	require.Equal(t, "55000", victim.ask(t, "guard"))
	eventually(t, func() bool { return victim.ask(t, "check") == "lost" }, "it learns of it by its renewal")
	require.Equal(t, "False", victim.ask(t, "release"))
	require.NoError(t, thief.Release(ctx))
}

func pythonOutlives(t *testing.T, ctx context.Context, pool *pgxpool.Pool) {
	t.Helper()
	eventually(t, func() bool {
		var longer bool
		err := pool.QueryRow(ctx, `SELECT clock_timestamp() > since + interval '2 s' AND expires_at > clock_timestamp() FROM pgcoherence.lease WHERE key = 'k'`).Scan(&longer)
		return err == nil && longer
	}, "it is renewed")
}
