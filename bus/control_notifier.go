package bus

import (
	"context"
	"fmt"
)

// notifier sends payloads on the channel.
type notifier struct{ *env }

// notify sends payloads in one transaction of nothing but NOTIFY, which has nothing to flush. If its snapshot does not
// see one of the transactions, it sends nothing and returns which.
func (n notifier) notify(ctx context.Context, db PgxExecer, payloads, transactions []string) (hidden []string, err error) {
	if len(payloads) == 0 {
		return nil, nil
	}
	if n.guards.AnnounceEarly {
		transactions = nil
	}

	n.stats.statements.Add(1)
	var sent int
	if err := db.QueryRow(ctx, n.sql.notify, n.channel(), payloads, transactions).Scan(&hidden, &sent); err != nil {
		return nil, fmt.Errorf("notify: %w", err)
	}
	if len(hidden) > 0 {
		return hidden, nil
	}
	if sent != len(payloads) {
		return nil, fmt.Errorf("notify: %d of %d payloads sent", sent, len(payloads))
	}
	n.stats.notifies.Add(1)
	return nil, nil
}
