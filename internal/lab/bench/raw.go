package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// rawNotify is NOTIFY without any library: connections that listen, and one
// that sends. They live in the maintenance database, since the server wakes the
// listeners of one database for every notification in it, whatever its channel:
// the two sides of the comparison would weigh on each other.
type rawNotify struct {
	sender    *pgxpool.Pool // of one connection, for calls take turns on it
	listeners []*listener
	noted     *arrivals
}

func startRaw(ctx context.Context, s *server, listeners, events int) (_ *rawNotify, err error) {
	r := &rawNotify{noted: newArrivals(events, listeners)}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("raw: %w", err), r.stop())
		}
	}()

	config, err := pgxpool.ParseConfig(s.postgres.DSN(""))
	if err != nil {
		return nil, err
	}

	config.MaxConns = 1
	if r.sender, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, err
	}

	connect := func(ctx context.Context) (*pgx.Conn, error) { return pgx.ConnectConfig(ctx, config.ConnConfig) }
	for i := range listeners {
		l, err := listen(ctx, connect, func(payload string) {
			if event, err := strconv.Atoi(payload); err == nil {
				r.noted.arrive(i, event)
			}
		})
		if err != nil {
			return nil, err
		}

		r.listeners = append(r.listeners, l)
	}

	return r, r.sender.Ping(ctx)
}

// notify sends the event in a transaction of its own.
func (r *rawNotify) notify(ctx context.Context, event int) error {
	conn, err := r.sender.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	return r.noted.publish(event, func() error {
		_, err := conn.Exec(ctx, `SELECT pg_notify($1, $2)`, notifyChannel, strconv.Itoa(event))
		return err
	})
}

func (r *rawNotify) stop() error {
	var errs []error
	for _, l := range r.listeners {
		errs = append(errs, l.close())
	}
	if r.sender != nil {
		r.sender.Close()
	}
	return errors.Join(errs...)
}
