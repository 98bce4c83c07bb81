package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// channelFaults are what somebody else says on the notification channel.
func channelFaults() []fault {
	return []fault{{
		name: "junk-payloads", about: "malformed, forged, replayed and newer payloads on the channel",
		inject: junk,
	}}
}

const channel = "pgcoherence:pgcoherence"

// junk listens for genuine payloads and sends what can be made of them.
func junk(ctx context.Context, s *scene) error {
	conn, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer disconnect(conn)

	if _, err := conn.Exec(ctx, `LISTEN "`+channel+`"`); err != nil {
		return err
	}

	for end := time.Now().Add(s.options.duration); time.Now().Before(end); {
		wait, cancel := context.WithTimeout(ctx, time.Second)
		n, err := conn.WaitForNotification(wait)
		cancel()

		if err != nil {
			return fmt.Errorf("no genuine payload: %w", err)
		}
		if n.PID == conn.PgConn().PID() {
			continue
		}

		payload := n.Payload
		for _, bad := range []string{
			"", "junk", "1 ", "1 0123456789abcdef {}", strings.Repeat("x", 7000),
			payload[:rand.N(len(payload))],                       // cut off
			payload[:len(payload)-1] + "!",                       // forged
			strings.Replace(payload, `"from":"`, `"from":"9`, 1), // forged
			strings.Replace(payload, `"to":"`, `"to":"9`, 1),     // forged
			"2" + payload[1:],                                    // of a newer version
			payload,                                              // replayed
		} {
			if bad == payload && rand.N(4) > 0 {
				continue
			}
			if _, err := conn.Exec(ctx, "SELECT pg_notify($1, $2)", channel, bad); err != nil {
				return err
			}
		}

		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return err
		}
	}

	s.healed()

	for _, m := range s.pods() {
		status, err := m.status(ctx)
		if err != nil {
			return err
		}
		if status.Stats.Forged == 0 || status.Stats.Malformed == 0 || status.Stats.Unknown == 0 {
			return errors.New("the junk did not arrive")
		}
	}

	return nil
}
