package bus

import (
	"context"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/wire"
)

var _ hook.Signaller = (*Postgres)(nil)

// Signal implements hook.Signaller. It is bounded by what bounds announcements: where they are so many that the pods
// hold theirs back, nothing is signalled.
func (p *Postgres) Signal(ctx context.Context, _ hook.Token, db hook.Execer, topic string, keys ...string) (sent bool, err error) {
	now, st := time.Now(), p.applier.standing()
	if p.State() != Live || st.codec == nil || st.pace.hold(now) > 0 {
		return false, nil
	}
	event := wire.Event{Topic: topic, Keys: keys, At: p.applier.databaseTime(now)}
	_, err = p.notify(ctx, db, st.codec.Pack([]wire.Event{event}, nil, false, p.cfg.MaxKeys), nil)
	return err == nil, err
}
