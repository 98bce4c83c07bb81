//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// terminal is the program at a terminal of its own.
type terminal struct {
	t   *testing.T
	pty *os.File
	cmd *exec.Cmd

	mu   sync.Mutex
	text bytes.Buffer // all that was shown
	end  chan error   // gets how the program ended
}

const patience = time.Minute

// atTerminal starts the program with all three streams at a terminal that is so many columns wide.
func atTerminal(t *testing.T, columns uint16, dsn string, env []string, args ...string) *terminal {
	t.Helper()
	cmd := exec.Command("pgcoherence", args...)
	cmd.Env = append(append(os.Environ(), envDSN+"="+dsn, "TERM=xterm", "NO_COLOR="), env...)
	file, err := pty.StartWithSize(cmd, &pty.Winsize{Rows: 24, Cols: columns})
	require.NoError(t, err)
	term := &terminal{t: t, pty: file, cmd: cmd, end: make(chan error, 1)}
	go term.follow()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = file.Close()
	})
	return term
}

// follow reads until the program has closed the terminal.
func (m *terminal) follow() {
	piece := make([]byte, 4096)
	for {
		n, err := m.pty.Read(piece)
		m.mu.Lock()
		m.text.Write(piece[:n])
		m.mu.Unlock()
		if err != nil { // EIO at the end
			break
		}
	}
	m.end <- m.cmd.Wait()
}

// shown is all that was shown so far, with the line ends of a file.
func (m *terminal) shown() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return strings.ReplaceAll(m.text.String(), "\r\n", "\n")
}

func (m *terminal) await(text string) {
	m.t.Helper()
	require.Eventually(m.t, func() bool { return strings.Contains(m.shown(), text) }, patience, 5*time.Millisecond, "%q does not come", text)
}

func (m *terminal) enter(keys string) {
	m.t.Helper()
	_, err := m.pty.WriteString(keys)
	require.NoError(m.t, err)
}

// code waits for the end and returns the exit code.
func (m *terminal) code() int {
	m.t.Helper()
	select {
	case err := <-m.end:
		var exit *exec.ExitError
		if err != nil && !errors.As(err, &exit) {
			require.NoError(m.t, err)
		}
		return m.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		require.Fail(m.t, "the program does not end", m.shown())
		return 0
	}
}

// shop is a database with one of everything that a command can destroy.
type shop struct {
	dsn     string
	pool    *pgxpool.Pool
	session string // its id
}

func newShop(t *testing.T) *shop {
	t.Helper()
	ctx := t.Context()
	db := pgtest.New(t, template)
	s := &shop{dsn: db.DSN, pool: db.Pool(t)}
	_, err := s.pool.Exec(ctx, "CREATE TABLE users (id bigint PRIMARY KEY)")
	require.NoError(t, err)
	b, err := bus.NewPostgres(s.pool, &bus.Config{Logger: quiet})
	require.NoError(t, err)
	require.NoError(t, b.WatchTable(ctx, bus.Watch{Table: "users", Topic: "users"}))

	store, err := sessionstore.New(b, s.pool, &sessionstore.Config[[]byte]{Codec: sessionstore.Bytes(), Logger: quiet})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, store.Close()) })
	login, err := store.BeginLogin(ctx, "alice")
	require.NoError(t, err)
	_, session, err := store.Create(ctx, login, nil, nil)
	require.NoError(t, err)
	s.session = session.ID.String()

	locker, err := lock.New(b, s.pool, &lock.Config{Logger: quiet, Options: lock.Options{TTL: time.Hour}})
	require.NoError(t, err)
	_, err = locker.TryAcquire(ctx, "nightly")
	require.NoError(t, err)
	return s
}

// holds reports what a query that returns a boolean returns.
func (s *shop) holds(t *testing.T, query string) (yes bool) {
	t.Helper()
	require.NoError(t, s.pool.QueryRow(t.Context(), query).Scan(&yes))
	return yes
}

// hasSession reports whether the session is listed.
func (s *shop) hasSession(t *testing.T) bool {
	t.Helper()
	var out, errOut bytes.Buffer
	require.Zero(t, execute(t.Context(), []string{"sessions", "list", "alice", "--dsn", s.dsn}, strings.NewReader(""), &out, &errOut), errOut.String())
	return strings.Contains(out.String(), s.session)
}

// TestTerminal_DestructiveCommandsAsk: nothing happens unless a person says yes, and ^C ends the question at once.
func TestTerminal_DestructiveCommandsAsk(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name     string
		args     func(*shop) []string
		question string
		intact   func(*testing.T, *shop) bool // nothing has been done
	}{
		{
			"invalidate", func(*shop) []string { return []string{"invalidate", "orders", "--all"} }, "Invalidate everything of the topic orders",
			func(t *testing.T, s *shop) bool {
				t.Helper()
				return s.holds(t, "SELECT NOT EXISTS (SELECT FROM pgcoherence.event WHERE topic = 'orders' AND whole)")
			},
		},
		{"revoke", func(s *shop) []string { return []string{"sessions", "revoke", "alice", s.session} }, "[y/N] ", func(t *testing.T, s *shop) bool { t.Helper(); return s.hasSession(t) }},
		{"revoke-user", func(*shop) []string { return []string{"sessions", "revoke-user", "alice"} }, "alice", func(t *testing.T, s *shop) bool { t.Helper(); return s.hasSession(t) }},
		{"revoke-all", func(*shop) []string { return []string{"sessions", "revoke-all"} }, "[y/N] ", func(t *testing.T, s *shop) bool { t.Helper(); return s.hasSession(t) }},
		{"forget-user", func(*shop) []string { return []string{"sessions", "forget-user", "alice"} }, "Delete what is stored of alice?", func(t *testing.T, s *shop) bool { t.Helper(); return s.hasSession(t) }},
		{
			"steal", func(*shop) []string { return []string{"locks", "steal", "nightly"} }, "Take the lease nightly away",
			func(t *testing.T, s *shop) bool {
				t.Helper()
				return s.holds(t, "SELECT count(*) = 1 FROM pgcoherence.lease WHERE key = 'nightly' AND expires_at > clock_timestamp()")
			},
		},
		{
			"watch", func(*shop) []string { return []string{"watch-table", "remove", "users", "users"} }, "no longer invalidate users",
			func(t *testing.T, s *shop) bool {
				t.Helper()
				return s.holds(t, "SELECT count(*) > 0 FROM pg_trigger WHERE tgrelid = 'users'::regclass AND NOT tgisinternal")
			},
		},
		{"bench", func(*shop) []string { return []string{"bench", "--time", "100ms", "--writers", "1"} }, "Go on?", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			s := newShop(t)
			for _, answer := range []struct {
				name, keys string
				code       int
			}{{"no", "n\r", exitFailed}, {"nothing", "\r", exitFailed}, {"end of input", "\x04", exitFailed}, {"^C", "\x03", exitInterrupted}, {"yes", "y\r", 0}} {
				if tc.intact != nil {
					require.True(t, tc.intact(t, s), answer.name)
				}

				m := atTerminal(t, 100, s.dsn, nil, tc.args(s)...)
				m.await(tc.question)
				m.await("[y/N] ")
				m.enter(answer.keys)
				require.Equal(t, answer.code, m.code(), "%s: %s", answer.name, m.shown())
			}

			if tc.intact != nil {
				require.False(t, tc.intact(t, s))
			}
		})
	}
}

// TestTerminal_Colours: colours at a terminal only, and none where somebody does not want them.
func TestTerminal_Colours(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	const escape = "\x1b["
	for _, command := range [][]string{{"status"}, {"doctor"}, {"watch-table", "list"}, {"tail", "--since", "1h", "-n", "1"}} {
		if command[0] == "tail" {
			var discard bytes.Buffer
			require.Zero(t, execute(t.Context(), []string{"invalidate", "users", "1", "--dsn", s.dsn}, strings.NewReader(""), &discard, &discard), discard.String())
		}
		m := atTerminal(t, 100, s.dsn, nil, command...)
		m.code()
		require.Contains(t, m.shown(), escape, command)

		for _, env := range []string{"NO_COLOR=1", "TERM=dumb"} {
			m = atTerminal(t, 100, s.dsn, []string{env}, command...)
			m.code()
			require.NotContains(t, m.shown(), escape, env)
		}
		m = atTerminal(t, 100, s.dsn, nil, append(command, "--no-color")...)
		m.code()
		require.NotContains(t, m.shown(), escape)
		m = atTerminal(t, 100, s.dsn, nil, append(command, "--json")...)
		m.code()
		require.NotContains(t, m.shown(), escape)
	}
}

// TestTerminal_Interrupt: ^C ends what waits, quickly and with the code for it.
func TestTerminal_Interrupt(t *testing.T) {
	t.Parallel()
	s := newShop(t)

	m := atTerminal(t, 100, s.dsn, nil, "lock", "nightly", "--", "true")
	require.Eventually(t, func() bool { return s.holds(t, "SELECT count(*) > 0 FROM pgcoherence.lease_waiter") }, patience, 5*time.Millisecond)
	m.enter("\x03")
	require.Equal(t, exitInterrupted, m.code(), m.shown())
	require.Contains(t, m.shown(), "interrupted")
	require.True(t, s.holds(t, "SELECT count(*) = 0 FROM pgcoherence.lease_waiter"), "it leaves the queue")

	m = atTerminal(t, 100, s.dsn, nil, "tail")
	require.Eventually(t, func() bool {
		return s.holds(t, "SELECT count(*) > 0 FROM pg_stat_activity WHERE application_name = 'pgcoherence' AND query LIKE '%pg_visible_in_snapshot%' AND pid <> pg_backend_pid()")
	}, patience, 5*time.Millisecond)
	m.enter("\x03")
	require.Zero(t, m.code(), "that is how tail ends: %s", m.shown())

	// A table lock makes the statement wait.
	tx, err := s.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { _ = tx.Rollback(context.Background()) }()
	_, err = tx.Exec(t.Context(), "LOCK TABLE pgcoherence.pod")
	require.NoError(t, err)
	m = atTerminal(t, 100, s.dsn, nil, "pods")
	require.Eventually(t, func() bool { return s.holds(t, "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted") }, patience, 5*time.Millisecond)
	m.enter("\x03")
	require.Equal(t, exitInterrupted, m.code(), m.shown())
	require.NoError(t, tx.Rollback(t.Context()))

	// The program under a lease is in the terminal's foreground, and its exit code is passed on.
	m = atTerminal(t, 100, s.dsn, nil, "lock", "other", "--", "sh", "-c", "trap 'echo caught; exit 7' INT; echo waiting; while :; do sleep 0.05; done")
	m.await("waiting\n")
	m.enter("\x03")
	require.Equal(t, 7, m.code(), m.shown())
	require.Contains(t, m.shown(), "caught")
}

// TestTerminal_Narrow: where columns do not fit, rows become lines, and nothing is lost.
func TestTerminal_Narrow(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	b, err := bus.NewPostgres(s.pool, &bus.Config{Name: "storefront-api-6d8f7c9b54-x2k4q", Version: "v1.2.3", Logger: quiet})
	require.NoError(t, err)
	go func() { ended <- b.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		require.NoError(t, <-ended)
	})
	select {
	case <-b.Ready():
	case <-time.After(patience):
		require.Fail(t, "the pod does not start")
	}

	id := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)
	for _, command := range [][]string{{"pods"}, {"locks", "list"}, {"sessions", "list", "alice"}, {"watch-table", "list"}} {
		wide := atTerminal(t, 250, s.dsn, nil, command...)
		wide.code()
		heading, _, _ := strings.Cut(wide.shown(), "\n")
		require.Contains(t, heading, "  ", "a table with a heading")

		narrow := atTerminal(t, 55, s.dsn, nil, command...)
		narrow.code()
		for line := range strings.Lines(escapes.ReplaceAllString(narrow.shown(), "")) {
			require.LessOrEqual(t, len(strings.TrimSuffix(line, "\n")), 55, "%v: %s", command, narrow.shown())
		}
		require.Equal(t, id.FindString(wide.shown()), id.FindString(narrow.shown()))
	}

	m := atTerminal(t, 40, s.dsn, nil, "bench", "--yes", "--time", "100ms", "--writers", "1")
	require.Zero(t, m.code(), m.shown())
	require.LessOrEqual(t, strings.Count(m.shown(), "measuring"), strings.Count(m.shown(), "\r")+1, "the bar stays on its line")
}

// TestTerminal_ErrorsInAFile: a progress bar is for the terminal that it is drawn on, and not for a file.
func TestTerminal_ErrorsInAFile(t *testing.T) {
	t.Parallel()
	s := newShop(t)
	log := t.TempDir() + "/log"
	cmd := exec.Command("sh", "-c", "exec pgcoherence bench --yes --time 100ms --writers 1 2>"+log)
	cmd.Env = append(os.Environ(), envDSN+"="+s.dsn, "TERM=xterm")
	file, err := pty.Start(cmd)
	require.NoError(t, err)
	m := &terminal{t: t, pty: file, cmd: cmd, end: make(chan error, 1)}
	go m.follow()
	t.Cleanup(func() { _ = file.Close() })
	require.Zero(t, m.code(), m.shown())
	written, err := os.ReadFile(log)
	require.NoError(t, err)
	require.Empty(t, string(written))
}
