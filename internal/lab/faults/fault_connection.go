package main

import (
	"context"
	"fmt"
	"time"
)

// connectionFaults end connections; the server and the network are well.
func connectionFaults() []fault {
	return []fault{
		{
			name: "none", about: "nothing happens: what the load alone looks like",
			inject: lasting,
		},
		{
			name: "backend-terminated", about: "pg_terminate_backend: any connection again and again, then all at once",
			inject: terminate("true"),
		},
		{
			name: "listen-terminated", about: "the same for the connections that listen",
			inject: terminate("application_name LIKE 'pgcoherence listen %'"),
		},
		{
			name: "control-terminated", about: "the same for the bus' other connections",
			inject: terminate("application_name LIKE 'pgcoherence control %'"),
		},
	}
}

// lasting is no fault but time.
func lasting(ctx context.Context, s *scene) error { return s.last(ctx) }

// terminate ends connections that a condition picks: one every tenth of a second, and finally all.
func terminate(which string) func(context.Context, *scene) error {
	const statement = `SELECT count(pg_terminate_backend(pid)) FROM (SELECT pid FROM pg_stat_activity
		WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND %s ORDER BY random() LIMIT %s) AS victim`
	return func(ctx context.Context, s *scene) error {
		for end := time.Now().Add(s.options.duration); time.Now().Before(end); {
			if err := s.exec(ctx, fmt.Sprintf(statement, which, "1")); err != nil {
				return err
			}
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}

		s.healed()
		return s.exec(ctx, fmt.Sprintf(statement, which, "ALL"))
	}
}
