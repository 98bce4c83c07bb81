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

// Pod is a running bus as recorded in the database.
type Pod struct {
	ID      string
	Name    string
	Version string        // of the application
	State   string        // as of the last beat
	Started time.Time     // on the database's clock; a pause of the pod does not change it
	Up      time.Duration // since Started
	Age     time.Duration // since the last beat; a running pod beats once per BeatInterval
	Synced  bool          // the pod is in the same epoch as this pod
	// Behind is how many transaction ids the pod's position was behind this pod's at its last beat; 0 if not Synced.
	Behind uint64
}

// DepartedPod is a pod that has ended.
type DepartedPod struct {
	Pod // as of its last beat

	// Lost reports whether the pod's row was removed a pod lease after its last beat. Otherwise the pod ended in
	// order.
	Lost bool
}

// Cluster lists the pods of a schema, including those that ended recently.
type Cluster struct {
	Pods     []Pod         // by name; this one included
	Departed []DepartedPod // by name
}

// Pods returns all pods of the schema, including this one, sorted by name. A dead pod is listed until its row is
// removed, a pod lease after its last beat. It is one query through the pool.
func (p *Postgres) Pods(ctx context.Context) ([]Pod, error) {
	c, err := p.Cluster(ctx, 0)
	return c.Pods, err
}

// Cluster returns the running pods, as Pods does, and the pods that have ended within the given time, at most an
// hour: in order, or lost, for example in a crash. It is one query through the pool.
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
