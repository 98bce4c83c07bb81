package status

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

const (
	replyTimeout = 3 * time.Second // for one pod to reply
	maxRemotes   = 256             // pods whose last replies are kept
)

// remote is what /pods/ID responds: another pod's update, or why there is none.
type remote struct {
	Pod     *Pod     `json:"pod"` // as the database knows it; null: it does not
	Replied bool     `json:"replied"`
	Text    string   `json:"text,omitempty"` // why there is no reply, for people
	Update  *update  `json:"update,omitempty"`
	History *history `json:"history,omitempty"`

	at time.Time
}

// remotes keep the last replies, so that however many look at a pod, it is asked once per interval.
type remotes struct {
	mu   sync.Mutex
	last map[string]*asking // by pod and what was wanted
}

type asking struct {
	done   chan struct{}
	result remote
}

// openPod responds with what another pod says of itself.
func (h *Handler) openPod(w http.ResponseWriter, r *http.Request) {
	h.sendRemote(w, r, wantUpdate)
}

func (h *Handler) podHistory(w http.ResponseWriter, r *http.Request) {
	h.sendRemote(w, r, wantHistory)
}

func (h *Handler) sendRemote(w http.ResponseWriter, r *http.Request, want string) {
	text, err := json.Marshal(h.remotely(r.Context(), r.PathValue("id"), want))
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	sendJSON(w, text)
}

// remotely returns a reply that is at most an interval old. Those who want the same at the same time wait for one question.
func (h *Handler) remotely(ctx context.Context, id, want string) remote {
	key := want + " " + id
	h.remotes.mu.Lock()
	one := h.remotes.last[key]
	if one == nil || one.ended() && time.Since(one.result.at) >= h.cfg.Interval*9/10 {
		one = &asking{done: make(chan struct{})}
		h.remotes.keep(key, one)
		h.remotes.mu.Unlock()

		// For all who wait: so not with the context of the one who came first.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), replyTimeout)
		defer cancel()
		one.result = h.askOne(ctx, id, want)
		one.result.at = time.Now()
		close(one.done)
		return one.result
	}
	h.remotes.mu.Unlock()
	select {
	case <-one.done:
		return one.result
	case <-ctx.Done():
		return remote{Text: "The request was cancelled"}
	}
}

func (a *asking) ended() bool {
	select {
	case <-a.done:
		return true
	default:
		return false
	}
}

// keep is called with mu held.
func (r *remotes) keep(key string, one *asking) {
	if r.last == nil {
		r.last = make(map[string]*asking)
	}
	if len(r.last) >= maxRemotes {
		for k, old := range r.last {
			if old.ended() {
				delete(r.last, k)
			}
		}
	}
	r.last[key] = one
}

// askOne asks a pod, unless it is known that it cannot reply.
func (h *Handler) askOne(ctx context.Context, id, want string) remote {
	seen := h.probe.look(ctx)
	i := slices.IndexFunc(seen.pods, func(p Pod) bool { return p.ID == id })
	if i < 0 {
		if seen.err != nil {
			return remote{Text: "The list of pods cannot be read: " + seen.err.Error()}
		}
		return remote{Text: "No pod of this id is there, nor was lately"}
	}
	pod := seen.pods[i]
	result := remote{Pod: &pod}
	ago := (time.Duration(pod.BeatAgeSeconds) * time.Second).String()
	switch {
	case pod.Condition == ConditionLeft:
		result.Text = fmt.Sprintf("%s ended in order %s ago", pod.Name, ago)
		return result
	case pod.Condition == ConditionLost && pod.ReplacedBy != "":
		result.Text = fmt.Sprintf("%s is lost: its last beat was %s ago, and %s took its place", pod.Name, ago, pod.ReplacedBy)
		return result
	case pod.Condition == ConditionLost:
		result.Text = fmt.Sprintf("%s is lost: its last beat was %s ago", pod.Name, ago)
		return result
	}

	r, ok, err := h.replyOf(ctx, want, pod)
	switch {
	case ok && r.Error != "":
		result.Text = pod.Name + ": " + r.Error
	case ok && (r.Update != nil || r.History != nil):
		result.Replied, result.Update, result.History = true, r.Update, r.History
		h.complete(result.Update, pod)
	case err != nil:
		result.Text = fmt.Sprintf("%s could not be asked: %v", pod.Name, err)
	default:
		result.Text = fmt.Sprintf("%s did not reply within %v: it hangs, cannot reach the database, or does not call Handler.Run. Its last beat was %s ago",
			pod.Name, replyTimeout, cmp.Or(ago, "a moment"))
	}
	return result
}

// replyOf is what a pod says. This one is not asked by way of the database.
func (h *Handler) replyOf(ctx context.Context, want string, pod Pod) (r reply, ok bool, err error) {
	q := question{Want: want}
	if pod.Self {
		text, err := json.Marshal(q)
		return h.replyTo(ctx, string(text)), true, err
	}
	replies, err := h.ask(ctx, q, []string{pod.ID})
	r, ok = replies[pod.ID]
	return r, ok, err
}

// complete adds to another pod's update what the database knows of it, and judges both.
func (h *Handler) complete(u *update, pod Pod) {
	if u == nil {
		return
	}
	pod.Self = true // it is the one that the report is of
	u.Pods, u.PodsError = []Pod{pod}, ""
	if u.Caches == nil {
		u.Caches = make(map[string]CacheReport)
	}
	u.Verdict = judge(&u.Report)
}
