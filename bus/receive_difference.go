package bus

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/position"
	"github.com/pgcoherence/pgcoherence/internal/wire"
)

// difference is what became visible since a base snapshot.
type difference struct {
	head     position.Difference
	identity string // the long form of the epoch
	secret   []byte
	now      time.Time // the database's clock
	events   []wire.Event
	overflow bool // there were more than the limit
}

var errNoEpoch = errors.New("bus: the log has no epoch")

// epochID is the short form of an identity: what payloads carry.
func epochID(identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return hex.EncodeToString(sum[:wire.EpochIDLen/2])
}

// logReader reads the log.
type logReader struct{ *env }

// read reads what base.Base does not see. Without a base, or with headOnly, it reads only the head, which is all that a
// reset needs. A log without an epoch, as after a crash, gets a new one.
func (r logReader) read(ctx context.Context, conn *pgx.Conn, base position.Difference, headOnly bool) (*difference, error) {
	d, err := r.query(ctx, conn, r.sql.difference, base, headOnly)
	if !errors.Is(err, errNoEpoch) {
		return d, err
	}

	r.stats.statements.Add(1)
	if _, err := conn.Exec(ctx, r.sql.createEpoch); err != nil {
		return nil, fmt.Errorf("bus: create epoch: %w", err)
	}
	return r.query(ctx, conn, r.sql.difference, base, headOnly)
}

// query runs one of the two statements that read a difference.
func (r logReader) query(
	ctx context.Context, conn *pgx.Conn, sql string, base position.Difference, headOnly bool,
) (*difference, error) {
	limit := r.cfg.MaxCatchUp + 1
	xmax, inProgress := base.Base.Xmax, base.Base.Xip
	if headOnly || base.BaseOf == "" {
		xmax, inProgress, limit = math.MaxUint64, nil, 0
	}
	if r.guards.CursorOnly {
		inProgress = nil
	}
	args := []any{strconv.FormatUint(xmax, 10), decimal(inProgress)}
	if sql == r.sql.difference {
		args = append(args, limit)
	}

	r.stats.statements.Add(1)
	rows, err := conn.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("bus: read difference: %w", err)
	}
	defer rows.Close()

	// The first row is the head, the others are events.
	d := &difference{head: base}
	first := true
	for rows.Next() {
		if first {
			first = false
			if err := d.scanHead(rows); err != nil {
				return nil, err
			}
			continue
		}
		if err := d.scanEvent(rows); err != nil {
			return nil, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("bus: read difference: %w", err)
	}
	if first {
		return nil, errors.New("bus: read difference: no head")
	}

	if len(d.events) > r.cfg.MaxCatchUp && sql == r.sql.difference {
		d.overflow = true
	}
	if headOnly {
		d.overflow = true // nothing was read, so only a reset can follow
	}
	return d, nil
}

func (d *difference) scanHead(rows pgx.Rows) error {
	var identity, pruned *string
	var current string
	var secret []byte
	var now time.Time
	if err := rows.Scan(&identity, &secret, &pruned, &current, &now, nil, nil, nil, nil, nil, nil); err != nil {
		return fmt.Errorf("bus: read difference: %w", err)
	}
	if identity == nil {
		return errNoEpoch
	}
	d.identity, d.head.Epoch, d.secret, d.now = *identity, epochID(*identity), secret, now
	var err error
	if d.head.Current, err = position.ParseSnapshot(current); err != nil {
		return err
	}
	if pruned != nil {
		if d.head.PrunedTo, err = position.ParseSnapshot(*pruned); err != nil {
			return err
		}
	}
	return nil
}

func (d *difference) scanEvent(rows pgx.Rows) error {
	var e wire.Event
	var xid *uint64
	var n *int32
	var at time.Time
	if err := rows.Scan(nil, nil, nil, nil, nil, &xid, &n, &e.Topic, &e.Keys, &e.All, &at); err != nil {
		return fmt.Errorf("bus: read difference: %w", err)
	}
	if xid != nil {
		e.ID.XID = *xid
	}
	if n != nil {
		e.ID.N, e.HasID = *n, true
	}
	e.At = at.UnixMicro()
	if len(e.Topic) == 0 || len(e.Topic) > MaxTopicLen {
		e.Keys, e.All = nil, false // nobody can publish this with us, and nobody can be subscribed to it
	}
	if !allKeys(e.Keys, utf8.ValidString) {
		e.Keys, e.All = nil, true // in a database without an encoding, any bytes can be keys
	}
	d.events = append(d.events, e)
	return nil
}

func decimal(xids []uint64) []string {
	out := make([]string, len(xids))
	for i, xid := range xids {
		out[i] = strconv.FormatUint(xid, 10)
	}
	return out
}
