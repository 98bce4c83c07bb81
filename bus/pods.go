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
	Started time.Time     // on the database's clock; a pod that was paused has not started anew
	Up      time.Duration // since Started
	Age     time.Duration // since the last beat; a pod that is alive beats once per BeatInterval
	Synced  bool          // it is in the same epoch as this pod
	// Behind is how many transaction ids its position is behind this pod's, as of its last beat; 0 if not Synced.
	Behind uint64
}

// DepartedPod is a bus that is gone.
type DepartedPod struct {
	Pod // as of its last beat

	// Lost reports whether its row was taken away a pod lease after its last beat. Otherwise it ended in order.
	Lost bool
}

// Cluster is all buses of a schema, those that have gone lately included.
type Cluster struct {
	Pods     []Pod         // by name; this one included
	Departed []DepartedPod // by name
}

// Pods lists all pods of the schema, this one included, by name. Dead pods stay listed until they are reaped, a pod
// lease after their last beat. It reads through the pool.
func (p *Postgres) Pods(ctx context.Context) ([]Pod, error) {
	c, err := p.Cluster(ctx, 0)
	return c.Pods, err
}

// Cluster is Pods together with those that have gone within a time, at most an hour: pods that ended in order, and pods
// that were lost, such as by a crash. It is one query through the pool.
func (p *Postgres) Cluster(ctx context.Context, within time.Duration) (Cluster, error) {
	rows, err := p.pool.Query(ctx, p.sql.pods, within.Seconds())
	if err != nil {
		return Cluster{}, fmt.Errorf("bus: pods: %w", explain(err))
	}

	var c Cluster
	for rows.Next() {
		pod, lost, err := p.scanPod(rows)
		switch {
		case err != nil:
			rows.Close()
			return Cluster{}, fmt.Errorf("bus: pods: %w", err)
		case lost != nil:
			c.Departed = append(c.Departed, DepartedPod{pod, *lost})
		default:
			c.Pods = append(c.Pods, pod)
		}
	}
	if err := rows.Err(); err != nil {
		return Cluster{}, fmt.Errorf("bus: pods: %w", explain(err))
	}
	return c, nil
}

// scanPod reads one row. lost is nil for a pod that is there.
func (p *Postgres) scanPod(row pgx.Rows) (pod Pod, lost *bool, err error) {
	var n, started, up, age int64 // in microseconds
	var epoch, xmaxText string
	var info []byte
	if err := row.Scan(&pod.ID, &pod.Name, &started, &up, &age, &epoch, &xmaxText, &n, &info, &lost); err != nil {
		return pod, nil, err
	}
	pod.Started = time.UnixMicro(started)
	pod.Up, pod.Age = time.Duration(up)*time.Microsecond, time.Duration(age)*time.Microsecond

	// What another version wrote there is not for this one to judge.
	var details struct{ Version, State string }
	if err := json.Unmarshal(info, &details); err == nil {
		pod.Version, pod.State = details.Version, details.State
	}

	xmax, err := strconv.ParseUint(xmaxText, 10, 64)
	if err != nil {
		return pod, nil, err
	}
	stamp := position.Stamp{Xmax: xmax, InProgress: uint32(n)}
	st := p.applier.status()
	if pod.Synced = epoch != "" && epoch == st.epoch; pod.Synced && st.position.Xmax > stamp.Xmax {
		pod.Behind = st.position.Xmax - stamp.Xmax
	}
	return pod, lost, nil
}
