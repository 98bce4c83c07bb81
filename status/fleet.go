package status

import (
	"cmp"
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Condition is the state of a pod in one word.
type Condition string

// The conditions.
const (
	ConditionLive     Condition = "live"     // in sync, notifications arrive
	ConditionDegraded Condition = "degraded" // polling or catching up
	ConditionStale    Condition = "stale"    // does not trust its caches
	ConditionLost     Condition = "lost"     // no beat for LostAfter, or its row was removed
	ConditionLeft     Condition = "left"     // ended in order
)

// Pod is a pod of the cluster, as recorded in the database.
type Pod struct {
	ID             string    `json:"id"`
	Name           string    `json:"name"`
	Version        string    `json:"version,omitempty"`
	State          string    `json:"state"` // of its bus, as of its last beat
	Condition      Condition `json:"condition"`
	Self           bool      `json:"self"`   // the pod that made this report
	Synced         bool      `json:"synced"` // in the same epoch
	Behind         uint64    `json:"behind"` // transaction ids
	BeatAgeSeconds float64   `json:"beat_age_seconds"`
	ReplacedBy     string    `json:"replaced_by,omitempty"` // of a lost pod: the name of the pod that started in its place
	Started        time.Time `json:"started"`

	up time.Duration // since Started
}

// fleet turns what the database knows of the pods into conditions.
type fleet struct {
	self      string
	lostAfter time.Duration
}

// list returns all pods to show: those registered, by name, then those gone, the newest first.
func (f fleet) list(c bus.Cluster) []Pod {
	all := make([]Pod, 0, len(c.Pods)+len(c.Departed))
	for _, p := range c.Pods {
		all = append(all, f.registered(p))
	}
	slices.SortFunc(all, byName)

	var gone []Pod
	for _, d := range c.Departed {
		pod := f.registered(d.Pod)
		pod.Self = false // a pod that makes a report is not gone; its row may be
		pod.Condition = ConditionLeft
		if d.Lost {
			pod.Condition = ConditionLost
		}
		gone = append(gone, pod)
	}
	slices.SortFunc(gone, func(a, b Pod) int { return cmp.Or(cmp.Compare(a.BeatAgeSeconds, b.BeatAgeSeconds), byName(a, b)) })

	all = append(all, gone...)
	markReplaced(all)
	return all
}

func (f fleet) registered(p bus.Pod) Pod {
	pod := Pod{
		ID: p.ID, Name: p.Name, Version: p.Version, State: p.State, Self: p.ID == f.self, Synced: p.Synced, Behind: p.Behind,
		BeatAgeSeconds: max(p.Age, 0).Seconds(), Started: p.Started.UTC(), up: p.Up,
	}
	switch {
	case p.Age > f.lostAfter:
		pod.Condition = ConditionLost
	case p.State == bus.Stale.String():
		pod.Condition = ConditionStale
	case p.State == bus.Live.String() && p.Synced:
		pod.Condition = ConditionLive
	default:
		pod.Condition = ConditionDegraded
	}

	return pod
}

// markReplaced gives each lost pod a successor: a pod that is there and started after the lost one's last beat. Each
// counts for one lost pod only, those lost first and those started first going together.
func markReplaced(all []Pod) {
	var lost, begun []*Pod
	for i := range all {
		switch p := &all[i]; p.Condition {
		case ConditionLost:
			lost = append(lost, p)
		case ConditionLeft:
		default:
			begun = append(begun, p)
		}
	}
	slices.SortStableFunc(lost, func(a, b *Pod) int { return cmp.Compare(b.BeatAgeSeconds, a.BeatAgeSeconds) })
	slices.SortStableFunc(begun, func(a, b *Pod) int { return cmp.Compare(b.up, a.up) })

	for _, l := range lost {
		i := slices.IndexFunc(begun, func(p *Pod) bool { return p.up.Seconds() < l.BeatAgeSeconds })
		if i < 0 {
			continue
		}
		l.ReplacedBy = begun[i].Name
		begun = slices.Delete(begun, i, i+1)
	}
}

func byName(a, b Pod) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) }
