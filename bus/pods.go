package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// Pod is one running bus as the database knows it.
type Pod struct {
	ID      string
	Name    string
	Version string        // of the application
	State   string        // as of the last beat
	Started time.Time     // on the database's clock
	Age     time.Duration // since the last beat; a pod that is alive beats once per BeatInterval
	Synced  bool          // it stands in the same epoch as this pod
	// Behind is how many transaction ids its position is behind this pod's, as of its last beat; 0 if not Synced.
	Behind uint64
}

// Pods lists all pods of the schema, this one included, by name. Dead pods stay listed until they are reaped, a pod
// lease after their last beat. It reads through the pool.
func (p *Postgres) Pods(ctx context.Context) ([]Pod, error) {
	st := p.applier.standing()
	rows, err := p.pool.Query(ctx, p.sql.pods)
	if err != nil {
		return nil, fmt.Errorf("bus: pods: %w", explain(err))
	}
	pods, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Pod, error) {
		var pod Pod
		var beat, n int64
		var epoch, xmaxText string
		var info []byte
		if err := row.Scan(&pod.ID, &pod.Name, &pod.Started, &beat, &pod.Age, &epoch, &xmaxText, &n, &info); err != nil {
			return pod, err
		}
		var details struct{ Version, State string }
		if err := json.Unmarshal(info, &details); err == nil { // what another version wrote there is not ours to judge
			pod.Version, pod.State = details.Version, details.State
		}
		xmax, err := strconv.ParseUint(xmaxText, 10, 64)
		if err != nil {
			return pod, err
		}
		stamp := position.Stamp{Xmax: xmax, InProgress: uint32(n)}
		if pod.Synced = epoch != "" && epoch == st.epoch; pod.Synced && st.position.Xmax > stamp.Xmax {
			pod.Behind = st.position.Xmax - stamp.Xmax
		}
		return pod, nil
	})
	if err != nil {
		return nil, fmt.Errorf("bus: pods: %w", explain(err))
	}
	return pods, nil
}
