package status

import (
	"cmp"
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Condition says how a pod stands, in one word for people.
type Condition string

// The conditions.
const (
	ConditionLive     Condition = "live"     // in sync, notifications arrive
	ConditionDegraded Condition = "degraded" // it polls, or is on its way
	ConditionStale    Condition = "stale"    // it does not trust its caches
	ConditionLost     Condition = "lost"     // it has not beaten for LostAfter
	ConditionLeft     Condition = "left"     // it ended in order
)

// Pod is one pod of the cluster, as the database and this pod's memory know it.
type Pod struct {
	ID             string    `json:"id"`
	Name           string    `json:"name"`
	Version        string    `json:"version,omitempty"`
	State          string    `json:"state"` // of its bus, as of its last beat
	Condition      Condition `json:"condition"`
	Self           bool      `json:"self"`   // it answers this request
	Synced         bool      `json:"synced"` // it stands in the same epoch
	Behind         uint64    `json:"behind"` // transaction ids
	BeatAgeSeconds float64   `json:"beat_age_seconds"`
	ReplacedBy     string    `json:"replaced_by,omitempty"` // of a lost pod: the name of the one that started in its place
	Started        time.Time `json:"started"`
}

// fleet turns lists of pods into conditions, and remembers pods whose rows are gone. It is not safe for concurrent use.
type fleet struct {
	self      string
	lostAfter time.Duration
	keep      time.Duration

	at   time.Time // of the last list
	last map[string]Pod
	gone map[string]departure
}

type departure struct {
	pod  Pod
	beat time.Time // about when it beat for the last time
	at   time.Time // when its row was found gone
}

// maxGap is how much time between two lists may pass for the difference between a pod that left and one that was lost to
// be seen.
const maxGap = 5 * time.Second

// see takes a list that was read at a time, and answers all pods to show: those there, by name, then those gone, the
// newest first.
func (f *fleet) see(pods []bus.Pod, at time.Time) []Pod {
	present := make(map[string]Pod, len(pods))
	all := make([]Pod, 0, len(pods)+len(f.gone))
	for _, p := range pods {
		pod := f.judge(p)
		present[p.ID] = pod
		delete(f.gone, p.ID)
		all = append(all, pod)
	}
	if f.gone == nil {
		f.gone = make(map[string]departure)
	}
	if at.Sub(f.at) <= maxGap {
		for id, pod := range f.last {
			if _, ok := present[id]; !ok {
				f.gone[id] = f.depart(pod, at)
			}
		}
	}
	f.last, f.at = present, at
	slices.SortFunc(all, byName)
	return append(all, f.departed(at)...)
}

func (f *fleet) judge(p bus.Pod) Pod {
	pod := Pod{
		ID: p.ID, Name: p.Name, Version: p.Version, State: p.State, Self: p.ID == f.self, Synced: p.Synced, Behind: p.Behind,
		BeatAgeSeconds: max(p.Age, 0).Seconds(), Started: p.Started.UTC(),
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

// depart tells a pod that took its row with it from one whose row was taken away, a pod lease after its last beat.
func (f *fleet) depart(pod Pod, at time.Time) departure {
	beat := f.at.Add(-time.Duration(pod.BeatAgeSeconds * float64(time.Second)))
	pod.Condition = ConditionLeft
	if at.Sub(beat) > f.lostAfter {
		pod.Condition = ConditionLost
	}
	return departure{pod, beat, at}
}

func (f *fleet) departed(at time.Time) []Pod {
	var all []Pod
	for id, d := range f.gone {
		if at.Sub(d.at) > f.keep {
			delete(f.gone, id)
			continue
		}
		d.pod.BeatAgeSeconds = at.Sub(d.beat).Seconds()
		all = append(all, d.pod)
	}
	slices.SortFunc(all, func(a, b Pod) int { return cmp.Or(cmp.Compare(a.BeatAgeSeconds, b.BeatAgeSeconds), byName(a, b)) })
	return all
}

func byName(a, b Pod) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.ID, b.ID)) }
