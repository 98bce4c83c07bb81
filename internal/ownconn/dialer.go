// Package ownconn makes the connections that belong to the library and not to the application's pool: a starved pool must
// not stall invalidations, and a pool would recycle them. They are made from a sanitised copy of the pool's
// configuration, and what the database, the role or the server has set is not inherited.
package ownconn

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Dialer makes connections of the library. It is safe for concurrent use. The fields are not changed after the first use.
type Dialer struct {
	Pool          *pgxpool.Pool
	Connect       func(ctx context.Context) (*pgx.Conn, error) // opens the connections instead, if not nil
	Settings      []Setting                                    // besides the common ones
	ErrNotPrimary error                                        // for a standby, or a server that is set to read only
	ErrConfig     error                                        // for a Connect whose connection is unusable
	Listens       bool                                         // notifications have to arrive
	OnNotice      pgconn.NoticeHandler                         // handles the server's notices, if not nil; not with Connect

	last atomic.Pointer[string] // the address that worked
}

// Conn is a connection of the library.
type Conn struct {
	*pgx.Conn

	// Net is for ending the connection from another goroutine: a pgx.Conn must not be touched from there.
	Net net.Conn

	// Pooled means that the connection goes through a pooler, so that session parameters cannot be set.
	Pooled bool
}

// Close ends the connection without waiting for a server that may not respond.
func (c *Conn) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	_ = c.Conn.Close(ctx) // it ends either way
}

// Dial makes a connection to a primary, whose application_name is name. Each address has its own share of the time, and
// so has each hook; the address that worked last is tried first. The error is that of all addresses.
func (d *Dialer) Dial(ctx context.Context, name string, share time.Duration) (*Conn, error) {
	if d.Connect != nil {
		return guard(ctx, share, func(ctx context.Context) (*Conn, error) { return d.dialCustom(ctx, name) }, (*Conn).Close)
	}

	// The pool returns a copy.
	pool := d.Pool.Config()
	config := pool.ConnConfig
	if pool.BeforeConnect != nil {
		_, err := guard(ctx, share, func(ctx context.Context) (any, error) { return nil, pool.BeforeConnect(ctx, config) }, nil)
		if err != nil {
			return nil, fmt.Errorf("BeforeConnect of the pool: %w", err)
		}
	}
	sanitise(config, name)
	config.OnNotice = d.OnNotice

	addresses, errs := resolve(ctx, config, share)
	if last := d.last.Load(); last != nil {
		moveToFront(addresses, *last)
	}
	for _, a := range addresses {
		if err := ctx.Err(); err != nil {
			return nil, errors.Join(append(errs, err)...)
		}
		conn, err := guard(ctx, share, func(ctx context.Context) (*Conn, error) { return d.dialAddress(ctx, a, pool.AfterConnect) }, (*Conn).Close)
		if err == nil {
			d.last.Store(&a.name)
			return conn, nil
		}
		errs = append(errs, fmt.Errorf("%s: %w", a.name, err))
	}
	return nil, errors.Join(errs...)
}

// dialAddress tries the configurations of one address: with TLS and, where the pool allows it, without.
func (d *Dialer) dialAddress(ctx context.Context, a address, afterConnect func(context.Context, *pgx.Conn) error) (*Conn, error) {
	var errs []error
	for _, config := range a.configs {
		conn, err := pgx.ConnectConfig(ctx, config)
		if err != nil {
			errs = append(errs, err)
			continue
		}

		return d.adopt(conn, func(c *Conn) error {
			if afterConnect != nil {
				if err := afterConnect(ctx, conn); err != nil {
					return fmt.Errorf("AfterConnect of the pool: %w", err)
				}
			}
			return d.prepare(ctx, c)
		})
	}

	return nil, errors.Join(errs...)
}

// nameKey is of the context that Connect is called with.
type nameKey struct{}

// NameOf returns the name of the connection that Connect is called for: the fault tests use a separate network for each.
func NameOf(ctx context.Context) string {
	name, _ := ctx.Value(nameKey{}).(string)
	return name
}

// dialCustom has the application make the connection.
func (d *Dialer) dialCustom(ctx context.Context, name string) (*Conn, error) {
	conn, err := d.Connect(context.WithValue(ctx, nameKey{}, name))
	if err != nil {
		return nil, err
	}
	if conn == nil {
		return nil, fmt.Errorf("%w: Connect returned no connection", d.ErrConfig)
	}

	return d.adopt(conn, func(c *Conn) error {
		if err := d.prepare(ctx, c); err != nil || c.Pooled {
			return err
		}
		if _, err := conn.Exec(ctx, "SELECT set_config('application_name', $1, false)", name); err != nil {
			return err
		}
		if d.Listens {
			return d.checkNotifications(ctx, c)
		}

		return nil
	})
}

// adopt makes a Conn of a connection, and closes it if it cannot be prepared, or the function that prepares it panics.
func (d *Dialer) adopt(conn *pgx.Conn, prepare func(*Conn) error) (*Conn, error) {
	c := &Conn{Conn: conn, Net: conn.PgConn().Conn()}
	prepared := false
	defer func() {
		if !prepared {
			c.Close()
		}
	}()
	if err := prepare(c); err != nil {
		return nil, err
	}
	dropNotifications(conn)
	prepared = true
	return c, nil
}

// dropNotifications drops notifications of channels that the connection no longer listens to, such as those of a hook or
// the channel of checkNotifications, so that the next WaitForNotification does not return them. It does no I/O.
func dropNotifications(conn *pgx.Conn) {
	done, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		if _, err := conn.WaitForNotification(done); err != nil {
			return
		}
	}
}

const inspectSQL = `SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean, pg_backend_pid()`

// prepare checks the server of a connection and sets the parameters of its session.
func (d *Dialer) prepare(ctx context.Context, c *Conn) error {
	var recovery, readOnly bool
	var pid uint32
	if err := c.QueryRow(ctx, inspectSQL).Scan(&recovery, &readOnly, &pid); err != nil {
		return err
	}
	c.Pooled = pid != c.PgConn().PID() // otherwise it is the one of the handshake

	switch {
	case recovery:
		return fmt.Errorf("%w: it is in recovery", d.ErrNotPrimary)
	case readOnly:
		if err := d.checkReadOnly(ctx, c); err != nil {
			return err
		}
	}
	raw := c.PgConn().ParameterStatus("server_encoding") == "SQL_ASCII"
	if raw && (c.Pooled || c.Config().DefaultQueryExecMode == pgx.QueryExecModeSimpleProtocol) {
		return fmt.Errorf("%w: the database's encoding is SQL_ASCII, which takes a direct connection and another mode than simple_protocol",
			d.ErrConfig)
	}
	if c.Pooled {
		return nil
	}

	// A hook may have left the connection listening to something that is not ours.
	settings := settingsSQL(append(common[:len(common):len(common)], d.Settings...))
	if raw {
		// Without an encoding any bytes can be a text, and the server would refuse to send those that are not UTF-8.
		settings += "; SET client_encoding = 'SQL_ASCII'"
	}
	_, err := c.PgConn().Exec(ctx, settings+"; UNLISTEN *").ReadAll()
	return err
}

// checkReadOnly returns an error unless transactions are read only just for this role, database or connection, which can
// be set otherwise. An operator who sets the whole server to read only means it.
func (d *Dialer) checkReadOnly(ctx context.Context, c *Conn) error {
	const setting = "default_transaction_read_only"
	if c.Pooled {
		return fmt.Errorf("%w: %s is on, and the connection goes through a pooler, so that it cannot be changed", d.ErrNotPrimary, setting)
	}
	var source string
	if err := c.QueryRow(ctx, "SELECT source FROM pg_settings WHERE name = $1", setting).Scan(&source); err != nil {
		return err
	}
	switch source {
	case "user", "database", "database user", "client", "session":
		return nil
	}
	return fmt.Errorf("%w: %s is on for the whole server (%s)", d.ErrNotPrimary, setting, source)
}

// checkNotifications returns an error if notifications do not reach WaitForNotification, because the connection that
// Connect made passes them to an OnNotification of its own.
func (d *Dialer) checkNotifications(ctx context.Context, c *Conn) error {
	const channel = `"pgcoherence:probe"`
	if _, err := c.PgConn().Exec(ctx, "LISTEN "+channel).ReadAll(); err != nil {
		return err
	}
	if _, err := c.PgConn().Exec(ctx, "NOTIFY "+channel).ReadAll(); err != nil {
		return nil //nolint:nilerr // a full queue: if notifications do not arrive, that shows later
	}

	// It arrived with the response to NOTIFY, so this does not wait if it was kept.
	wait, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	if n, err := c.WaitForNotification(wait); err != nil || n == nil {
		return fmt.Errorf("%w: Connect: its connection has OnNotification set, which takes the notifications away", d.ErrConfig)
	}
	_, err := c.PgConn().Exec(ctx, "UNLISTEN "+channel).ReadAll()
	return err
}

const probeTimeout = 100 * time.Millisecond
