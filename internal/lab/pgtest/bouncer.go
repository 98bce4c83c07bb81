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
	bouncerTimeout = 30 * time.Second // until it accepts clients
)

// BouncerConfig configures a PgBouncer. The zero value uses PgBouncer's own defaults.
type BouncerConfig struct {
	// PoolSize is the number of server connections that clients share. Defaults
	// to PgBouncer's default, 20.
	PoolSize int

	// Ignore lists startup parameters of clients that PgBouncer drops instead of
	// refusing the client. extra_float_digits is always among them.
	Ignore []string
}

// Bouncer is a PgBouncer in transaction mode in front of one database. It lets
// every local client in as the database's role. Like a server from binaries it
// ends when the process that started it dies.
type Bouncer struct {
	addr string
	name string
	dir  string
	cmd  *exec.Cmd

	watchdog *watchdog
}

// FindBouncer returns the path of the program, or ErrNoBouncer. It searches
// PATH and the directory of Debian's package, which only root has on PATH.
func FindBouncer() (string, error) {
	for _, name := range []string{bouncerProgram, filepath.Join("/usr/sbin", bouncerProgram)} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%w on this machine (Debian: apt-get install %s)", ErrNoBouncer, bouncerProgram)
}

// NewBouncer starts a PgBouncer for one test and ends it at the test's end. A
// nil cfg uses the defaults. Without the program the test is skipped, or fails
// under CI=true.
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

// StartBouncer starts a PgBouncer in front of the database of a DSN and returns when
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

	owner, err := findOwner() // like Postgres, PgBouncer refuses to run as root
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

// file returns the program's configuration file.
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
	ctx, cancel := context.WithTimeoutCause(ctx, bouncerTimeout, errors.New("it does not accept clients"))
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

// Addr returns the address that PgBouncer listens on.
func (b *Bouncer) Addr() string { return b.addr }

// DSN returns the address of the database through PgBouncer, with the query
// execution mode of pgx that keeps no state in the session.
func (b *Bouncer) DSN() string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("any", "any"), Host: b.addr,
		Path: b.name, RawQuery: "sslmode=disable&default_query_exec_mode=exec",
	}
	return u.String()
}

// Close ends PgBouncer, and with it all client connections.
func (b *Bouncer) Close() error {
	if b.cmd != nil {
		_ = b.cmd.Process.Kill() // it has no state worth a clean end
	}
	if b.watchdog != nil {
		b.watchdog.dismiss()
	}
	if b.cmd != nil {
		_ = b.cmd.Wait() // last: until it is reaped, no other process gets the pid that the watchdog knows
	}
	if b.dir == "" {
		return nil
	}
	return os.RemoveAll(b.dir)
}
