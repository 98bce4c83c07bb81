package bus

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// names are those of the events in a difference, without the events.
type names struct {
	head     position.Difference
	ids      []position.EventID
	unnamed  []uint64 // transactions of events that have no name, or share one
	overflow bool     // there are more
}

// maxNames is how many are read at most: a few megabytes, and as many as a pod remembers.
const maxNames = 1 << 17

// names reads the names in the difference to a base. The error is errNoEpoch where the log has none.
func (r logReader) names(ctx context.Context, conn *pgx.Conn, base position.Difference) (*names, error) {
	n := &names{head: base}
	var identity, pruned *string
	var current string
	var xids []uint64
	var numbers []int64

	r.stats.statements.Add(1)
	xmax, inProgress := strconv.FormatUint(base.Base.Xmax, 10), decimal(base.Base.Xip)
	if r.guards.CursorOnly {
		inProgress = nil
	}
	row := conn.QueryRow(ctx, r.sql.differenceNames, xmax, inProgress, maxNames+1)
	if err := row.Scan(&identity, &pruned, &current, &xids, &numbers); err != nil {
		return nil, fmt.Errorf("bus: read names: %w", err)
	}
	if identity == nil {
		return nil, errNoEpoch
	}

	n.head.Epoch = epochID(*identity)
	if err := setSnapshots(&n.head, current, pruned); err != nil {
		return nil, err
	}
	if n.overflow = len(xids) > maxNames; !n.overflow {
		n.add(xids, numbers)
	}
	return n, nil
}

// add sorts the names out. Ours are never given twice, but a writer can put any number into a row, and what has been
// announced under a name is only one of its events.
func (n *names) add(xids []uint64, numbers []int64) {
	for i, xid := range xids {
		if number := numbers[i]; number >= math.MinInt32 && number <= math.MaxInt32 {
			n.ids = append(n.ids, position.EventID{XID: xid, N: int32(number)})
		} else {
			n.unnamed = append(n.unnamed, xid)
		}
	}

	slices.SortFunc(n.ids, func(a, b position.EventID) int {
		return cmp.Or(cmp.Compare(a.XID, b.XID), cmp.Compare(a.N, b.N))
	})
	for i := 1; i < len(n.ids); i++ {
		if n.ids[i] == n.ids[i-1] {
			n.unnamed = append(n.unnamed, n.ids[i].XID)
		}
	}
}

// unannouncedOf returns the transactions with an event that no pod has announced, each once.
func (a *applier) unannouncedOf(n *names) []uint64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	xids := slices.Clone(n.unnamed)
	for _, id := range n.ids {
		if a.track.Known(id)&position.Announced == 0 {
			xids = append(xids, id.XID)
		}
	}
	slices.Sort(xids)
	return slices.Compact(xids)
}
