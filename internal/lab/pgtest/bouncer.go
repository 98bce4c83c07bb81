package pgtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	bouncerProgram = "pgbouncer"
	bouncerTimeout = 30 * time.Second // until it answers
)

// BouncerConfig says how a PgBouncer is set up. The zero value is PgBouncer's own defaults.
type BouncerConfig struct {
	// PoolSize is how many connections to the server it shares out. Zero means
	// PgBouncer's default, 20.
	PoolSize int

	// Ignore are settings of a session which clients may ask for at the start,
	// and do not get. extra_float_digits is always among them.
	Ignore []string
}

// Bouncer is a PgBouncer in transaction mode before one database, which lets
// everybody of this machine in as the database's role. Like a server from binaries
// it ends when the process that started it dies.
type Bouncer struct {
	addr string
	name string
	dir  string
	cmd  *exec.Cmd

	watchdog *watchdog
}

// FindBouncer returns the path of the program, or ErrNoBouncer. It looks on
// PATH, and where Debian puts it, which is on root's PATH only.
func FindBouncer() (string, error) {
	for _, name := range []string{bouncerProgram, filepath.Join("/usr/sbin", bouncerProgram)} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w on this machine (Debian: apt-get install %s)", ErrNoBouncer, bouncerProgram)
}

// NewBouncer starts a PgBouncer for one test and ends it at the test's end. A
// nil cfg means all defaults. Where there is no such program the test is
// skipped, and fails where CI=true.
func NewBouncer(t TB, db *DB, cfg *BouncerConfig) *Bouncer {
	t.Helper()
	b, err := StartBouncer(t.Context(), db.DSN, cfg)
	switch {
	case err == nil:
	case errors.Is(err, ErrNoBouncer):
		Missing(t, "%v", err)
		return nil
	default:
		t.Fatalf("%v", err)
		return nil
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})
	return b
}

// StartBouncer starts a PgBouncer before the database of a DSN and returns when
// clients get through it.
func StartBouncer(ctx context.Context, dsn string, cfg *BouncerConfig) (_ *Bouncer, err error) {
	program, err := FindBouncer()
	if err != nil {
		return nil, err
	}
	server, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("pgtest: %s: %w", bouncerProgram, err)
	}
	b := &Bouncer{name: server.Database}
	defer func() {
		if err != nil {
			err = fmt.Errorf("pgtest: %s: %w", bouncerProgram, errors.Join(err, b.Close()))
		}
	}()
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	b.addr = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	if b.dir, err = os.MkdirTemp("", "pgtest-bouncer-"); err != nil {
		return nil, err
	}
	owner, err := findOwner() // it refuses to be root as well
	if err != nil {
		return nil, err
	}
	ini := filepath.Join(b.dir, "pgbouncer.ini")
	if err := os.WriteFile(ini, cfg.file(server, port), 0o600); err != nil {
		return nil, err
	}
	if err := errors.Join(owner.own(b.dir), owner.own(ini)); err != nil {
		return nil, err
	}
	if b.watchdog, err = startWatchdog(b.dir, owner); err != nil {
		return nil, err
	}
	cmd := exec.Command(program, "-q", ini) // without a context: Close ends it
	cmd.SysProcAttr = owner.attributes()
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	b.cmd = cmd
	b.watchdog.guard(cmd.Process.Pid)
	if err := b.await(ctx); err != nil {
		return nil, err
	}
	return b, nil
}

// file is the program's configuration.
func (c *BouncerConfig) file(server *pgx.ConnConfig, port int) []byte {
	if c == nil {
		c = &BouncerConfig{}
	}
	text := fmt.Appendf(nil, `[databases]
%s = host=%s port=%d user=%s password=%s
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
ignore_startup_parameters = %s
`, server.Database, server.Host, server.Port, server.User, server.Password, port,
		strings.Join(append([]string{"extra_float_digits"}, c.Ignore...), ","))
	if c.PoolSize > 0 {
		text = fmt.Appendf(text, "default_pool_size = %d\n", c.PoolSize)
	}
	return text
}

func (b *Bouncer) await(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bouncerTimeout, errors.New("it does not answer"))
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, b.DSN())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Addr is where it listens.
func (b *Bouncer) Addr() string { return b.addr }

// DSN is an address of the database through it, with the mode of queries of
// pgx that needs nothing of a session.
func (b *Bouncer) DSN() string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("any", "any"), Host: b.addr,
		Path: b.name, RawQuery: "sslmode=disable&default_query_exec_mode=exec",
	}
	return u.String()
}

// Close ends it, and its clients' connections with it.
func (b *Bouncer) Close() error {
	if b.cmd != nil {
		_ = b.cmd.Process.Kill() // it holds nothing that matters
	}
	if b.watchdog != nil {
		b.watchdog.dismiss()
	}
	if b.cmd != nil {
		_ = b.cmd.Wait() // only now: until then the pid that the watchdog knows is nobody else's
	}
	if b.dir == "" {
		return nil
	}
	return os.RemoveAll(b.dir)
}
