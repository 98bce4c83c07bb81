package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
)

// acks is the cheapest way to know that all have heard: connections that listen,
// each of which writes a number into its own row when it is notified of it, and
// one connection that sends the number and reads until all rows have it. It
// knows of no death, no loss and no restart, and each of its rows is a durable
// commit, as a pod's is.
type acks struct {
	sender *pgx.Conn
	number int64
	n      int
	cancel context.CancelFunc
	done   sync.WaitGroup
	errs   []error // by listener, after done
}

const (
	ackChannel = "ack"
	ackTable   = `CREATE TABLE ack (listener int PRIMARY KEY, number bigint NOT NULL) WITH (fillfactor = 50)`
	// ackLook is the pause between two looks at the rows.
	ackLook = time.Millisecond
)

// startAcks uses a database of its own.
func startAcks(ctx context.Context, s *server, listeners int) (_ *acks, err error) {
	runCtx, cancel := context.WithCancel(ctx)
	a := &acks{n: listeners, cancel: cancel, errs: make([]error, listeners)}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("acks: %w", err), a.stop())
		}
	}()

	if a.sender, err = s.connect(ctx); err != nil {
		return nil, err
	}
	if _, err := a.sender.Exec(ctx, `DROP TABLE IF EXISTS ack`); err != nil {
		return nil, err
	}
	if _, err := a.sender.Exec(ctx, ackTable); err != nil {
		return nil, err
	}

	for i := range listeners {
		conn, err := s.connect(ctx)
		if err != nil {
			return nil, err
		}

		if _, err := a.sender.Exec(ctx, `INSERT INTO ack VALUES ($1, 0)`, i); err != nil {
			disconnect(conn)
			return nil, err
		}

		if _, err := conn.Exec(ctx, "LISTEN "+ackChannel); err != nil {
			disconnect(conn)
			return nil, err
		}

		a.done.Go(func() {
			defer disconnect(conn)
			a.errs[i] = acknowledge(runCtx, conn, i)
		})
	}

	return a, nil
}

// acknowledge writes what it is notified of until ctx ends.
func acknowledge(ctx context.Context, conn *pgx.Conn, listener int) error {
	for {
		notification, err := conn.WaitForNotification(ctx)

		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}

		number, err := strconv.ParseInt(notification.Payload, 10, 64)
		if err != nil {
			return err
		}

		_, err = conn.Exec(ctx, `UPDATE ack SET number = $1 WHERE listener = $2`, number, listener)

		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// round sends one number and returns when all have written it.
func (a *acks) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()

	a.number++

	if _, err := a.sender.Exec(ctx, `SELECT pg_notify($1, $2)`, ackChannel, strconv.FormatInt(a.number, 10)); err != nil {
		return fmt.Errorf("acks: %w", err)
	}

	for {
		var have int
		err := a.sender.QueryRow(ctx, `SELECT count(*) FROM ack WHERE number >= $1`, a.number).Scan(&have)
		if err != nil {
			return fmt.Errorf("acks: %w", err)
		}
		if have == a.n {
			return nil
		}

		sleep(ctx, ackLook)
	}
}

func (a *acks) stop() error {
	a.cancel()
	a.done.Wait()
	if a.sender != nil {
		disconnect(a.sender)
	}
	return errors.Join(a.errs...)
}
