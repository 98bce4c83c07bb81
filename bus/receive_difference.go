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
	bytes    int64 // of the events, as the log counts them
	overflow bool  // there were more than the limit
	// unreadable counts events whose keys cannot be read: each stands for its whole topic.
	unreadable int64
}

var (
	errNoEpoch   = errors.New("bus: the log has no epoch")
	errForeigner = errors.New("bus: the log was written in another database and is being emptied")
)

// maxCatchUpBytes bounds what one read of the difference takes in memory, as MaxCatchUp bounds its events.
const maxCatchUpBytes = 16 << 20

// epochID is the short form of an identity: what payloads carry.
func epochID(identity string) string {
	sum := sha256.Sum256([]byte(identity))
	return hex.EncodeToString(sum[:wire.EpochIDLen/2])
}

// logReader reads the log.
type logReader struct{ *env }

// read reads what base.Base does not see. Without a base, or with headOnly, it reads only the head, which is all that a
// reset needs. A log without an epoch, as after a crash, gets a new one, and one from another database is emptied first.
func (r logReader) read(ctx context.Context, conn *pgx.Conn, base position.Difference, headOnly bool) (*difference, error) {
	d, err := r.query(ctx, conn, r.sql.difference, base, headOnly)
	if !errors.Is(err, errNoEpoch) {
		return d, err
	}

	r.stats.statements.Add(1)
	var done bool
	if err := conn.QueryRow(ctx, r.sql.createEpoch).Scan(&done); err != nil {
		return nil, fmt.Errorf("bus: create epoch: %w", err)
	}
	if !done {
		return nil, errForeigner
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
		args = append(args, limit, maxCatchUpBytes)
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

	r.stats.unreadable.Add(d.unreadable)
	d.dropDoubleNames()
	if sql == r.sql.difference && (len(d.events) > r.cfg.MaxCatchUp || d.bytes > maxCatchUpBytes) {
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
	var secret *string
	var now int64
	if err := rows.Scan(&identity, &secret, &pruned, &current, &now, nil, nil, nil, nil, nil, nil, nil); err != nil {
		return fmt.Errorf("bus: read difference: %w", err)
	}
	if identity == nil {
		return errNoEpoch
	}

	d.identity, d.head.Epoch, d.now = *identity, epochID(*identity), time.UnixMicro(now)
	var err error
	if secret != nil {
		if d.secret, err = hex.DecodeString(*secret); err != nil {
			return fmt.Errorf("bus: read difference: secret: %w", err)
		}
	}

	return setSnapshots(&d.head, current, pruned)
}

// setSnapshots reads the snapshots of a head: the statement's own, and what was pruned, if anything was.
func setSnapshots(head *position.Difference, current string, pruned *string) (err error) {
	if head.Current, err = position.ParseSnapshot(current); err == nil && pruned != nil {
		head.PrunedTo, err = position.ParseSnapshot(*pruned)
	}
	return err
}

// scanEvent reads a row of the log. Whatever a writer has put there, the statement has made readable.
func (d *difference) scanEvent(rows pgx.Rows) error {
	var e wire.Event
	var xid *uint64
	var n *int32
	var topic *string
	var keys *[]string
	var at *int64
	if err := rows.Scan(nil, nil, nil, nil, nil, &xid, &n, &topic, &keys, &e.All, &at, &d.bytes); err != nil {
		return fmt.Errorf("bus: read difference: %w", err)
	}

	if xid != nil {
		e.ID.XID = *xid
	}
	if n != nil && xid != nil {
		e.ID.N, e.HasID = *n, true
	}
	if at != nil {
		e.At = *at
	}
	switch {
	case topic == nil: // no cache can be subscribed to it
		d.unreadable++
		e.All = false
	case keys == nil:
		d.unreadable++
		e.Topic, e.All = *topic, true
	default:
		e.Topic, e.Keys = *topic, *keys
	}
	if !allKeys(e.Keys, utf8.ValidString) {
		e.Keys, e.All = nil, true // in a database without an encoding, any bytes can be keys
	}
	d.events = append(d.events, e)
	return nil
}

// dropDoubleNames takes the name from events that share one. Ours never do, but a writer can put any number into a row,
// and two events of one name would be taken for one.
func (d *difference) dropDoubleNames() {
	seen := make(map[position.EventID]int, len(d.events))
	for i, e := range d.events {
		if !e.HasID {
			continue
		}
		if first, ok := seen[e.ID]; ok {
			d.events[first].HasID, d.events[i].HasID = false, false
			continue
		}
		seen[e.ID] = i
	}
}

func decimal(xids []uint64) []string {
	out := make([]string, len(xids))
	for i, xid := range xids {
		out[i] = strconv.FormatUint(xid, 10)
	}
	return out
}
