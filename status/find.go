package status

import (
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/lock"
	"github.com/pgcoherence/pgcoherence/sessionstore"
)

// target is what an operator looks for.
type target struct {
	Kind  string `json:"kind"`
	Topic string `json:"topic,omitempty"`
	Key   string `json:"key,omitempty"`
}

// What can be looked for.
const (
	kindKey     = "key"     // of a cache
	kindSession = "session" // by its public id
	kindLease   = "lease"   // by its key
)

// holding is what one pod holds of a target.
type holding struct {
	Known   bool         `json:"known"` // the pod has such a cache or store at all
	Entries []heldEntry  `json:"entries"`
	Session *sessionFact `json:"session,omitempty"`
	Error   string       `json:"error,omitempty"`
}

// heldEntry is one entry of a pod's memory.
type heldEntry struct {
	cache.Holding
	// Snapshot is the transaction before which everything had been applied when the entry was stored; empty: too long ago
	// to be remembered, or the pod does not call Run.
	Snapshot string `json:"snapshot,omitempty"`
}

// sessionFact is what the database says of a session.
type sessionFact struct {
	User    string    `json:"user"`
	Valid   bool      `json:"valid"`
	Created time.Time `json:"created"`
	Seen    time.Time `json:"seen"`
	Expires time.Time `json:"expires"`
	Revoked time.Time `json:"revoked,omitzero"`
	Reason  string    `json:"reason,omitempty"`
}

// Further methods that the parts of a Config may have; those of this module do.
type (
	keyHolder interface {
		Holdings(text string) []cache.Holding
	}
	sessionInspector interface {
		Inspect(ctx context.Context, id uuid.UUID) (sessionstore.Inspection, error)
	}
	leaseInspector interface {
		Inspect(ctx context.Context, key string) (lock.Info, error)
	}
)

const (
	findTimeout = 3 * time.Second
	maxFindText = 1024 // bytes, as long as a key can be
)

// find looks in this pod's memory.
func (h *Handler) find(ctx context.Context, t target) (found holding) {
	found.Entries = []heldEntry{}
	switch t.Kind {
	case kindKey:
		for _, c := range h.cfg.Caches {
			if holder, ok := c.(keyHolder); ok && c.Topic() == t.Topic {
				found.Known = true
				found.Entries = append(found.Entries, h.entries(holder.Holdings(t.Key))...)
			}
		}
	case kindSession:
		id, err := uuid.Parse(t.Key)
		if err != nil {
			found.Error = "this is no id of a session"
			return found
		}
		h.findSession(ctx, id, &found)
	}

	return found
}

func (h *Handler) findSession(ctx context.Context, id uuid.UUID, found *holding) {
	for _, s := range h.cfg.Sessions {
		inspector, ok := s.(sessionInspector)
		if !ok {
			continue
		}

		found.Known = true
		i, err := inspector.Inspect(ctx, id)
		switch {
		case errors.Is(err, sessionstore.ErrNotFound):
			continue
		case err != nil:
			found.Error = err.Error()
			continue
		}

		found.Entries = append(found.Entries, h.entries(i.Held)...)
		found.Session = &sessionFact{i.User, i.Valid, i.CreatedAt, i.LastSeen, i.ExpiresAt, i.RevokedAt, string(i.Reason)}
	}
}

func (h *Handler) entries(held []cache.Holding) (all []heldEntry) {
	for _, one := range held {
		e := heldEntry{Holding: one}
		if at, ok := h.places.before(time.Now().Add(-one.Age)); ok {
			e.Snapshot = at.String()
		}
		all = append(all, e)
	}
	return all
}

// finding is what a search over all pods has found, for the page.
type finding struct {
	Target  target
	Error   string
	Rows    []findingRow
	Session *sessionFact
	Lease   *lock.Info
	Held    int // pods that hold it
	Asked   int
}

type findingRow struct {
	Pod  Pod
	Says []string
	Tone Tone
}

// findPage serves the form, and searches where it was sent.
func (h *Handler) findPage(w http.ResponseWriter, r *http.Request) {
	page := struct {
		Topics   []string
		Sessions bool
		Leases   bool
		Found    *finding
	}{Topics: h.topics(), Sessions: len(h.cfg.Sessions) > 0, Leases: len(h.cfg.Lockers) > 0}

	code := http.StatusOK
	if r.Method == http.MethodPost {
		r.Body = http.MaxBytesReader(w, r.Body, maxForm)
		t := target{Kind: r.PostFormValue("kind"), Topic: r.PostFormValue("topic"), Key: r.PostFormValue("key")}
		if t.Kind != kindKey {
			t.Key = strings.TrimSpace(t.Key)
		}
		page.Found = h.search(r, t)
		if page.Found.Error != "" {
			code = http.StatusBadRequest
		}
	}
	h.render(w, code, "find.html", page)
}

func (h *Handler) topics() (all []string) {
	for _, c := range h.cfg.Caches {
		if _, ok := c.(keyHolder); ok {
			all = append(all, c.Topic())
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// search asks all pods, and logs that it did, with a code of the key in place of the key.
func (h *Handler) search(r *http.Request, t target) *finding {
	f := &finding{Target: t}
	if f.Error = h.checkTarget(t); f.Error != "" {
		return f
	}
	h.searches.Inc()
	h.cfg.Logger.InfoContext(r.Context(), "status: search", slog.String("kind", t.Kind), slog.String("topic", t.Topic),
		slog.String("key_code", h.codeOf(t)), slog.String("remote", r.RemoteAddr))

	ctx, cancel := context.WithTimeout(r.Context(), findTimeout)
	defer cancel()
	if t.Kind == kindLease {
		h.findLease(ctx, t.Key, f)
		return f
	}
	pods := h.listed(ctx)
	replies := h.findEverywhere(ctx, t, pods, f)
	for _, p := range pods {
		if p.Condition == ConditionLost || p.Condition == ConditionLeft {
			continue
		}
		f.Asked++
		row := findingRow{Pod: p}
		row.Says, row.Tone = says(replies[p.ID], f)
		f.Rows = append(f.Rows, row)
	}
	slices.SortStableFunc(f.Rows, func(a, b findingRow) int { return cmp.Compare(rankOf(a.Tone), rankOf(b.Tone)) })
	return f
}

func rankOf(t Tone) int { return slices.Index([]Tone{ToneOK, ToneBad, ToneWarn}, t) }

func (h *Handler) checkTarget(t target) string {
	switch {
	case t.Key == "":
		return "Say what to look for."
	case len(t.Key) > maxFindText:
		return "This is longer than a key can be."
	case t.Kind == kindKey && !slices.Contains(h.topics(), t.Topic):
		return "This pod has no such cache."
	case t.Kind == kindSession && uuid.Validate(t.Key) != nil:
		return "This is no id of a session: ids look like 0198c4f2-7d3e-7c41-9f0a-2b6f6f5f8f10. Tokens cannot be looked for."
	case t.Kind != kindKey && t.Kind != kindSession && t.Kind != kindLease:
		return "This kind of thing cannot be looked for."
	}
	return ""
}

// codeOf stands for a key in logs: equal for equal keys, on all pods with the same token, and of no use to others.
func (h *Handler) codeOf(t target) string {
	mac := hmac.New(sha256.New, h.gate.token[:])
	mac.Write([]byte("pgcoherence status key 1\x00" + t.Kind + "\x00" + t.Topic + "\x00" + t.Key))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// listed are the pods as last read; this one alone if the bus knows of no others.
func (h *Handler) listed(ctx context.Context) []Pod {
	seen := h.probe.look(ctx)
	if len(seen.pods) > 0 {
		return seen.pods
	}
	return []Pod{{ID: idOf(h.bus), Name: h.cfg.Name, Self: true, Condition: ConditionLive}}
}

// findEverywhere returns what the pods say. This one is looked into directly: it need not run.
func (h *Handler) findEverywhere(ctx context.Context, t target, pods []Pod, f *finding) map[string]*holding {
	found := make(map[string]*holding)
	var others []string
	for _, p := range pods {
		switch {
		case p.Self:
			own := h.find(ctx, t)
			found[p.ID] = &own
		case p.Condition == ConditionLost, p.Condition == ConditionLeft:
		default:
			others = append(others, p.ID)
		}
	}

	if len(others) == 0 {
		return found
	}

	replies, err := h.ask(ctx, question{Want: wantFind, Find: &t}, others)
	if err != nil {
		f.Error = "The other pods could not be asked: " + err.Error()
	}

	for id, r := range replies {
		if r.Find == nil {
			r.Find = &holding{Error: cmp.Or(r.Error, "the reply cannot be read")}
		}
		found[id] = r.Find
	}

	return found
}

// says puts what a pod holds into words.
func says(h *holding, f *finding) (words []string, tone Tone) {
	switch {
	case h == nil:
		return []string{fmt.Sprintf("did not reply within %v: it hangs, cannot reach the database, or does not call Handler.Run", findTimeout)}, ToneBad
	case h.Error != "":
		return []string{h.Error}, ToneBad
	case !h.Known:
		return []string{"has no such cache or store"}, ToneWarn
	}

	if h.Session != nil {
		f.Session = h.Session
	}
	if len(h.Entries) == 0 {
		return []string{"does not hold it"}, ToneWarn
	}

	f.Held++

	for _, e := range h.Entries {
		words = append(words, e.String())
	}

	return words, ToneOK
}

// String says what is held, since when and from which snapshot.
func (e heldEntry) String() string {
	if e.Loading && e.Age == 0 && e.Expires == 0 && !e.Served {
		return "is loading it"
	}

	text := "holds a value"
	if e.Absent {
		text = "holds that it does not exist"
	}

	text += ", stored " + e.Age.String() + " ago"
	if e.Snapshot != "" {
		text += " with all transactions before " + e.Snapshot + " applied"
	}

	switch {
	case !e.Served:
		text += "; it is not served any more"
	case e.Expires < cache.Forever:
		text += "; it expires in " + e.Expires.Truncate(time.Second).String()
	}

	if e.Loading {
		text += "; a load is under way"
	}

	return text
}

// findLease asks the database: leases are nowhere else.
func (h *Handler) findLease(ctx context.Context, key string, f *finding) {
	for _, l := range h.cfg.Lockers {
		inspector, ok := l.(leaseInspector)
		if !ok {
			continue
		}

		info, err := inspector.Inspect(ctx, key)
		if err != nil {
			f.Error = err.Error()
			return
		}

		if f.Lease == nil || info.Held {
			f.Lease = &info
		}
	}
	if f.Lease == nil {
		f.Error = "This pod has no locker."
	}
}
