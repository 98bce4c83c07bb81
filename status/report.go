package status

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// SchemaVersion is the version of [Report]. New fields do not change it.
const SchemaVersion = 1

// Report is the response of /status.
type Report struct {
	SchemaVersion int       `json:"schema_version"`
	At            time.Time `json:"at"`
	PodID         string    `json:"pod_id"`
	PodName       string    `json:"pod_name"`
	Version       string    `json:"version,omitempty"` // of the application
	UptimeSeconds float64   `json:"uptime_seconds"`
	Ready         string    `json:"ready"` // ok, degraded, not ready
	Draining      bool      `json:"draining"`
	Verdict       Verdict   `json:"verdict"`

	Bus       BusReport              `json:"bus"`
	Pods      []Pod                  `json:"pods"`
	PodsError string                 `json:"pods_error,omitempty"` // why Pods is old or empty
	Caches    map[string]CacheReport `json:"caches"`               // by topic
	Locks     *LockReport            `json:"locks,omitempty"`      // of this pod
	Sessions  []SessionReport        `json:"sessions,omitempty"`   // of this pod
}

// BusReport is the state of this pod's bus. Counts are since its start.
type BusReport struct {
	State           string        `json:"state"`
	Fresh           bool          `json:"fresh"`
	FreshAgeSeconds *float64      `json:"fresh_age_seconds"` // null without a proof of freshness
	StaleAfter      float64       `json:"stale_after_seconds"`
	Lag             LagReport     `json:"lag"`
	Epoch           string        `json:"epoch"`
	Reconnects      int64         `json:"reconnects"`
	QueueUsage      float64       `json:"queue_usage_ratio"` // of the server's notification queue
	Pending         int           `json:"announce_pending"`
	Published       int64         `json:"published"`
	Received        int64         `json:"received"`
	CaughtUp        int64         `json:"caught_up"`
	Swept           int64         `json:"unannounced_swept"`
	Refused         int64         `json:"payloads_refused"` // malformed, forged or unknown
	Resets          int64         `json:"resets"`
	LastResets      []ResetReport `json:"last_resets"` // newest first
	LastError       string        `json:"last_error,omitempty"`
	Topics          []TopicReport `json:"topics"`
}

// LagReport summarizes the time from the commit of other pods' events until they were applied here, since the start.
type LagReport struct {
	Count       uint64  `json:"count"`
	MeanSeconds float64 `json:"mean_seconds"`
	P50Seconds  float64 `json:"p50_seconds"`
	P99Seconds  float64 `json:"p99_seconds"`
}

// ResetReport is a reset of all subscribers.
type ResetReport struct {
	At     time.Time  `json:"at"`
	Reason bus.Reason `json:"reason"`
}

// TopicReport counts the deliveries of a topic.
type TopicReport struct {
	Topic  string `json:"topic"`
	Events int64  `json:"events"`
	Queued int    `json:"queued"`
}

// CacheReport is the state of a cache of this pod. The names of the first fields are those of the Kubernetes guide
// that this page replaces.
type CacheReport struct {
	Type           string `json:"type"`                 // "hybrid" with a tier, else "local"
	Size           int64  `json:"size"`                 // of the tier if known, else of the local part
	LocalSize      int    `json:"local_size"`           // values in this pod's memory
	RedisSize      *int64 `json:"redis_size,omitempty"` // only if the tier reports it
	RedisAvailable bool   `json:"redis_available"`      // the tier responds
	PodID          string `json:"pod_id"`
	EventQueueSize int    `json:"event_queue_size"` // deliveries of the topic that wait here, and own events that are not yet announced

	Hits           int64            `json:"hits"` // including absent keys, and Peek calls that found a value
	Misses         int64            `json:"misses"`
	Bypassed       int64            `json:"bypassed"`
	HitRatio       *float64         `json:"hit_ratio"` // null without a read
	Loads          int64            `json:"loads"`
	LoadErrors     int64            `json:"load_errors"`
	Evicted        int64            `json:"evicted"` // to make room
	Invalidations  int64            `json:"invalidations"`
	RefusedFills   map[string]int64 `json:"refused_fills"`
	TierHitRatio   *float64         `json:"tier_hit_ratio,omitempty"`
	TierErrors     int64            `json:"tier_errors"`
	TierPingMillis *float64         `json:"tier_ping_ms,omitempty"`
}

// LockReport is the state of this pod's lockers. It contains no keys.
type LockReport struct {
	Held             int   `json:"held"`
	HeldShared       int   `json:"held_shared"` // of those
	HeldPlaces       int   `json:"held_places"` // of those, of semaphores
	Waiting          int   `json:"waiting"`
	TakenOver        int64 `json:"taken_over"`    // from processes whose sessions had ended
	SessionsLost     int64 `json:"sessions_lost"` // of this pod's lockers
	GuardsRefused    int64 `json:"guards_refused"`
	HeartbeatsFailed int64 `json:"heartbeats_failed"`
	Stolen           int64 `json:"stolen"`
	Incarnation      int   `json:"incarnation"`
}

// SessionReport is the state of a session store of this pod. Counts are since its start.
type SessionReport struct {
	Topic     string `json:"topic"`
	Held      int    `json:"held"`   // in this pod's memory
	Active    *int64 `json:"active"` // valid sessions in the database, of all pods, as of the last sweep; null before
	Created   int64  `json:"created"`
	Revoked   int64  `json:"revoked"`
	Gets      int64  `json:"gets"`
	Lookups   int64  `json:"lookups"`
	Conflicts int64  `json:"conflicts"`
	Streams   int    `json:"streams"`
	Waiting   int    `json:"touches_waiting"`
}

// sizer is a tier that knows how many values it holds.
type sizer interface{ Size() int64 }

// report puts together what this pod knows and what was read of the others.
func (h *Handler) report(seen sight) Report {
	now := time.Now()
	r := Report{
		SchemaVersion: SchemaVersion, At: now.UTC(), PodID: idOf(h.bus), PodName: h.cfg.Name, Version: h.cfg.Version,
		UptimeSeconds: now.Sub(h.begin).Seconds(), Ready: h.readiness(), Draining: h.draining(),
		Bus: h.busReport(), Pods: seen.pods, Caches: make(map[string]CacheReport),
	}
	if r.Pods == nil {
		r.Pods = []Pod{}
	}
	if seen.err != nil {
		r.PodsError = seen.err.Error()
	}

	queued := make(map[string]int)
	for _, t := range r.Bus.Topics {
		queued[t.Topic] = t.Queued
	}

	sessions := h.sessionStats()
	for _, s := range h.cacheStats(sessions) {
		name := s.Topic
		for n := 2; r.Caches[name].Type != ""; n++ { // session stores share their topic
			name = fmt.Sprintf("%s (%d)", s.Topic, n)
		}
		r.Caches[name] = h.cacheReport(s, queued[s.Topic]+r.Bus.Pending, r.PodID, seen)
	}

	r.Locks, r.Sessions = h.lockReport(), sessionReports(sessions)
	r.Verdict = judge(&r)
	return r
}

// readiness is what /readyz says without the application's own checks, which do I/O.
func (h *Handler) readiness() string {
	switch worst := max(h.started().state, h.drained().state, h.coherent().state); worst {
	case good:
		return "ok"
	case degraded:
		return "degraded"
	default:
		return "not ready"
	}
}

// sessionStats are those of all session stores.
func (h *Handler) sessionStats() []sessionstore.Stats {
	all := make([]sessionstore.Stats, 0, len(h.cfg.Sessions))
	for _, s := range h.cfg.Sessions {
		all = append(all, s.Stats())
	}
	return all
}

func (h *Handler) busReport() BusReport {
	s, d := h.bus.Stats(), h.bus.Delays()
	b := BusReport{
		State: s.State.String(), Fresh: h.bus.Fresh(), Epoch: s.Epoch, Reconnects: s.Reconnects, QueueUsage: s.QueueUsage,
		Pending: s.Pending, Published: s.Published, Received: s.Received, CaughtUp: s.CaughtUp, Swept: s.Swept,
		Refused: s.Malformed + s.Forged + s.Unknown, Resets: s.Resets, LastError: s.LastError,
		LastResets: []ResetReport{}, Topics: []TopicReport{}, Lag: lagReport(d),
	}
	if source := hook.SourceOf(h.bus); source != nil {
		b.StaleAfter = source.StaleAfter().Seconds()
	}

	if s.FreshAge >= 0 {
		age := s.FreshAge.Seconds()
		b.FreshAgeSeconds = &age
	}

	for _, r := range h.bus.Resets() {
		b.LastResets = append(b.LastResets, ResetReport{r.At.UTC(), r.Reason})
	}

	for _, t := range h.bus.Topics() {
		if t.Topic == hook.TopicQuestion {
			continue // of the pages themselves
		}
		b.Topics = append(b.Topics, TopicReport{t.Topic, t.Events, t.Queued})
	}

	return b
}

func lagReport(d bus.Delays) LagReport {
	l := LagReport{Count: d.Count(), P50Seconds: d.Quantile(0.5).Seconds(), P99Seconds: d.Quantile(0.99).Seconds()}
	if l.Count > 0 {
		l.MeanSeconds = d.Sum.Seconds() / float64(l.Count)
	}
	return l
}

// cacheStats are those of all caches, the session stores' own included.
func (h *Handler) cacheStats(sessions []sessionstore.Stats) []cache.Stats {
	var all []cache.Stats
	for _, c := range h.cfg.Caches {
		all = append(all, c.Stats())
	}
	for _, s := range sessions {
		all = append(all, s.Cache)
	}
	return all
}

func (h *Handler) cacheReport(s cache.Stats, queued int, podID string, seen sight) CacheReport {
	r := CacheReport{
		Type: "local", Size: int64(s.Entries), LocalSize: s.Entries, PodID: podID, EventQueueSize: queued,
		Hits: s.Hits + s.NegativeHits + s.PeeksHeld + s.PeeksAbsent, Misses: s.Misses, Bypassed: s.Bypassed, Loads: s.Loads + s.LoadsNotFound, LoadErrors: s.LoadErrors,
		Evicted: s.EvictedCapacity, Invalidations: s.Invalidations, RefusedFills: s.RefusedFills, TierErrors: s.TierErrors,
	}
	r.HitRatio = ratio(r.Hits, s.Misses+s.Bypassed)
	tier, ok := h.cfg.Tiers[s.Topic]
	if !ok {
		return r
	}

	r.Type = "hybrid"
	r.TierHitRatio = ratio(s.TierHits, s.TierMisses+s.TierRefused)
	if ping := seen.tiers[s.Topic]; ping.err == nil && ping.asked {
		r.RedisAvailable = true
		millis := float64(ping.took.Microseconds()) / 1000
		r.TierPingMillis = &millis
	}

	if t, ok := tier.(sizer); ok {
		size := t.Size()
		r.RedisSize, r.Size = &size, size
	}

	return r
}

// ratio is part / (part + rest), nil if both are 0.
func ratio(part, rest int64) *float64 {
	if part+rest <= 0 {
		return nil
	}
	r := float64(part) / float64(part+rest)
	return &r
}

func (h *Handler) lockReport() *LockReport {
	if len(h.cfg.Lockers) == 0 {
		return nil
	}

	r := &LockReport{}
	for _, l := range h.cfg.Lockers {
		s := l.Stats()
		r.Held += s.Held
		r.HeldShared += s.HeldShared
		r.HeldPlaces += s.HeldPlaces
		r.Waiting += s.Waiting
		r.TakenOver += s.TakenOver
		r.SessionsLost += s.SessionsLost
		r.GuardsRefused += s.GuardsRefused
		r.HeartbeatsFailed += s.HeartbeatsFailed
		r.Stolen += s.Stolen
		r.Incarnation = max(r.Incarnation, s.Incarnation)
	}

	return r
}

func sessionReports(stores []sessionstore.Stats) []SessionReport {
	var all []SessionReport
	for _, s := range stores {
		r := SessionReport{
			Topic: s.Cache.Topic, Held: s.Cache.Entries, Created: s.Created, Lookups: s.Lookups, Conflicts: s.Conflicts,
			Streams: s.Streams, Waiting: s.Waiting,
		}
		if s.Active >= 0 {
			r.Active = &s.Active
		}

		for _, n := range s.Revoked {
			r.Revoked += n
		}

		for _, n := range s.Gets {
			r.Gets += n
		}

		all = append(all, r)
	}

	return all
}

// status responds with the Report, indented for a browser.
func (h *Handler) status(w http.ResponseWriter, r *http.Request) {
	encode := json.Marshal
	if strings.Contains(r.Header.Get("Accept"), "text/html") || r.URL.Query().Has("pretty") {
		encode = func(v any) ([]byte, error) { return json.MarshalIndent(v, "", "  ") }
	}
	text, err := encode(h.report(h.probe.look(r.Context())))
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	sendJSON(w, text)
}

func sendJSON(w http.ResponseWriter, text []byte) {
	head := w.Header()
	head.Set("Content-Type", "application/json")
	head.Set("Content-Length", strconv.Itoa(len(text)+1))
	head.Set("Cache-Control", "no-store")
	head.Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(append(text, '\n')) // the client may be gone
}
