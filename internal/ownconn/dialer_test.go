package ownconn_test

import (
	"context"
	"errors"
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/ownconn"
)

// hole accepts connections and says nothing.
func hole(t *testing.T) (host string, port uint16) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = listener.Close() })
	address, ok := listener.Addr().(*net.TCPAddr)
	require.True(t, ok)
	return "127.0.0.1", uint16(address.Port) //nolint:gosec // a port
}

// Each address has a share of the time, so those that swallow packets do not take that of the one that works; and the
// next connection begins with that one.
func TestSharesOfTheTime(t *testing.T) {
	t.Parallel()
	config := poolConfig(t, pgtest.New(t, nil))
	good := &pgconn.FallbackConfig{Host: config.ConnConfig.Host, Port: config.ConnConfig.Port, TLSConfig: config.ConnConfig.TLSConfig}
	var dialled []string
	tcp := &net.Dialer{}
	config.ConnConfig.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return tcp.DialContext(ctx, network, address)
	}
	config.ConnConfig.Host, config.ConnConfig.Port = hole(t)
	second := &pgconn.FallbackConfig{}
	second.Host, second.Port = hole(t)
	config.ConnConfig.Fallbacks = []*pgconn.FallbackConfig{second, good}
	d := dialer(t, config)

	const little = 300 * time.Millisecond
	conn, err := d.Dial(t.Context(), "test", little)
	for err != nil { // on a busy machine the good one may take longer
		require.ErrorIs(t, err, context.DeadlineExceeded)
		dialled = nil
		conn, err = d.Dial(t.Context(), "test", little)
	}
	conn.Close()
	require.Len(t, dialled, 3)

	dialled = nil
	conn, err = d.Dial(t.Context(), "test", share)
	require.NoError(t, err)
	conn.Close()
	require.Len(t, dialled, 1, "the one that worked comes first")
}

// A name may mean several addresses, and one that is not known does not hide the others.
func TestLookup(t *testing.T) {
	t.Parallel()
	config := poolConfig(t, pgtest.New(t, nil))
	host, port := config.ConnConfig.Host, config.ConnConfig.Port
	if host[0] == '/' {
		host = "127.0.0.1"
	}
	config.ConnConfig.LookupFunc = func(_ context.Context, name string) ([]string, error) {
		if name == "several" {
			return []string{"127.0.0.1:1", net.JoinHostPort(host, "1"), host}, nil
		}
		return nil, errors.New("no such host")
	}
	config.ConnConfig.Host, config.ConnConfig.Fallbacks = "unknown", []*pgconn.FallbackConfig{{Host: "several", Port: port}}
	dial(t, dialer(t, config))

	config.ConnConfig.Fallbacks = nil
	_, err := dialer(t, config).Dial(t.Context(), "test", share)
	require.ErrorContains(t, err, "no such host")
}

// No function of the application holds up the caller or the program, whatever it does.
func TestHostileHooks(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	t.Cleanup(func() { close(release) }) // after all of the subtests

	for name, misbehave := range map[string]func(context.Context) error{
		"panic":  func(context.Context) error { panic("of a hook") },
		"goexit": func(context.Context) error { runtime.Goexit(); return nil },
		"error":  func(context.Context) error { return errors.New("of a hook") },
		"hang":   func(context.Context) error { <-release; return errors.New("returned after all") },
	} {
		for hook, set := range map[string]func(*ownconn.Dialer, *pgtest.DB){
			"BeforeConnect": func(d *ownconn.Dialer, db *pgtest.DB) {
				config := poolConfig(t, db)
				config.BeforeConnect = func(ctx context.Context, _ *pgx.ConnConfig) error { return misbehave(ctx) }
				d.Pool = dialer(t, config).Pool
			},
			"AfterConnect": func(d *ownconn.Dialer, db *pgtest.DB) {
				config := poolConfig(t, db)
				config.AfterConnect = func(ctx context.Context, _ *pgx.Conn) error { return misbehave(ctx) }
				d.Pool = dialer(t, config).Pool
			},
			"LookupFunc": func(d *ownconn.Dialer, db *pgtest.DB) {
				config := poolConfig(t, db)
				config.ConnConfig.Host = "a.name"
				config.ConnConfig.LookupFunc = func(ctx context.Context, _ string) ([]string, error) { return nil, misbehave(ctx) }
				d.Pool = dialer(t, config).Pool
			},
			"Connect": func(d *ownconn.Dialer, _ *pgtest.DB) {
				d.Connect = func(ctx context.Context) (*pgx.Conn, error) { return nil, misbehave(ctx) }
			},
		} {
			t.Run(hook+" "+name, func(t *testing.T) {
				t.Parallel()
				d := &ownconn.Dialer{ErrNotPrimary: errNotPrimary, ErrConfig: errConfig}
				set(d, pgtest.New(t, nil))
				_, err := d.Dial(t.Context(), "test", 100*time.Millisecond)
				require.Error(t, err)
			})
		}
	}
}

// What Connect makes is checked: it may be nil, or keep the notifications for itself.
func TestConnect(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	d := &ownconn.Dialer{ErrNotPrimary: errNotPrimary, ErrConfig: errConfig, Listens: true}
	d.Connect = func(context.Context) (*pgx.Conn, error) { return nil, nil }
	_, err := d.Dial(t.Context(), "test", share)
	require.ErrorIs(t, err, errConfig)

	d.Connect = func(ctx context.Context) (*pgx.Conn, error) { return pgx.Connect(ctx, db.DSN) }
	conn := dial(t, d)
	require.Equal(t, "test", text(t, conn, "SELECT current_setting('application_name')"))
	require.Equal(t, "0", text(t, conn, "SELECT count(*)::text FROM pg_listening_channels()"))

	d.Connect = func(ctx context.Context) (*pgx.Conn, error) {
		config, err := pgx.ParseConfig(db.DSN)
		if err != nil {
			return nil, err
		}
		config.OnNotification = func(*pgconn.PgConn, *pgconn.Notification) {}
		return pgx.ConnectConfig(ctx, config)
	}
	_, err = d.Dial(t.Context(), "test", share)
	require.ErrorIs(t, err, errConfig)
	require.ErrorContains(t, err, "OnNotification")
	d.Listens = false
	dial(t, d)
}

// Read only for a role or a database is no obstacle; for the whole server it is what the operator wants.
func TestReadOnly(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	alter(t, db, "default_transaction_read_only = on")
	conn := dial(t, dialer(t, poolConfig(t, db)))
	_, err := conn.Exec(t.Context(), "CREATE TABLE public.t (a int)")
	require.NoError(t, err)

	config := poolConfig(t, pgtest.New(t, nil))
	config.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
	conn = dial(t, dialer(t, config))
	require.Equal(t, "off", text(t, conn, "SELECT current_setting('transaction_read_only')"))

	server := pgtest.NewServer(t, &pgtest.Config{Settings: map[string]string{"default_transaction_read_only": "on"}})
	config.ConnConfig, err = pgx.ParseConfig(server.DSN("postgres"))
	require.NoError(t, err)
	_, err = dialer(t, config).Dial(t.Context(), "test", share)
	require.ErrorIs(t, err, errNotPrimary)
	require.ErrorContains(t, err, "for the whole server")
}

// What a hook or others have sent to a connection before is not there for whoever waits for notifications on it.
func TestNotificationsOfOthersAreDropped(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	for name, custom := range map[string]bool{"as the pool connects": false, "by Connect": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			config := poolConfig(t, db)
			listen := func(ctx context.Context, conn *pgx.Conn) error {
				_, err := conn.Exec(ctx, `LISTEN stranger; LISTEN "pgcoherence:probe"; NOTIFY stranger; NOTIFY "pgcoherence:probe", 'of another pod'`)
				return err
			}
			config.AfterConnect = listen
			d := dialer(t, config)
			d.Listens = true
			if custom {
				d.Connect = func(ctx context.Context) (*pgx.Conn, error) {
					conn, err := pgx.ConnectConfig(ctx, config.ConnConfig)
					if err == nil {
						err = listen(ctx, conn)
					}
					return conn, err
				}
			}

			conn := dial(t, d)
			done, cancel := context.WithCancel(t.Context())
			cancel()
			n, err := conn.WaitForNotification(done)
			require.ErrorIs(t, err, context.Canceled)
			require.Nil(t, n)
		})
	}
}
