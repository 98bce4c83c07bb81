package status

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

// The checks of /readyz that are ours.
const (
	checkStarted  = "started"
	checkDraining = "draining"
	checkBus      = "bus"
)

// checkTimeout bounds a check of the application's own.
const checkTimeout = time.Second

// verdict is what one check found.
type verdict struct {
	name  string
	state level
	says  string // nothing that needs a token
}

type level int

const (
	good level = iota
	degraded
	failed
)

// livez says that the process responds. It asks no other: a pod that is restarted because its database is away only makes
// things worse.
func (h *Handler) livez(w http.ResponseWriter, _ *http.Request) { plainText(w, http.StatusOK, "ok\n") }

// readyz reports whether this pod should get requests.
func (h *Handler) readyz(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	verdicts := h.verdicts(r.Context(), query["exclude"])
	worst := good
	var lines strings.Builder
	for _, v := range verdicts {
		worst = max(worst, v.state)
		fmt.Fprintf(&lines, "[%s]%s %s\n", [...]string{good: "+", degraded: "!", failed: "-"}[v.state], v.name, v.says)
	}

	word := [...]string{good: "ok", degraded: "degraded", failed: "not ready"}[worst]
	code := http.StatusOK
	if worst == failed {
		code = http.StatusServiceUnavailable
	}

	if query.Has("verbose") {
		plainText(w, code, lines.String()+word+"\n")
		return
	}

	plainText(w, code, word+"\n")
}

// verdicts runs all checks but the excluded ones, those of the application at the same time.
func (h *Handler) verdicts(ctx context.Context, exclude []string) []verdict {
	all := []verdict{h.started(), h.drained(), h.coherent()}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()

	answers := make([]chan error, len(h.cfg.Checks))
	for i, check := range h.cfg.Checks {
		if !slices.Contains(exclude, check.Name) {
			answers[i] = make(chan error, 1)
			go func() { answers[i] <- check.Func(ctx) }() // ends with ctx, as its contract says
		}
	}

	for i, check := range h.cfg.Checks {
		if answers[i] == nil {
			continue
		}

		v := verdict{name: check.Name, says: "ok"}
		select {
		case err := <-answers[i]:
			if err != nil {
				v.state, v.says = degraded, "failed"
			}
		case <-ctx.Done():
			v.state, v.says = degraded, "timed out"
		}

		if v.state != good && check.Required {
			v.state = failed
		}

		all = append(all, v)
	}

	return slices.DeleteFunc(all, func(v verdict) bool { return slices.Contains(exclude, v.name) })
}

// started: the bus has once been proven to be in sync.
func (h *Handler) started() verdict {
	if h.bus.State() == bus.Closed {
		return verdict{checkStarted, failed, "the bus has ended"}
	}
	if !h.ready() {
		return verdict{checkStarted, failed, "the bus has not been in sync yet"}
	}
	return verdict{checkStarted, good, "ok"}
}

func (h *Handler) drained() verdict {
	if h.draining() {
		return verdict{checkDraining, failed, "shutting down"}
	}
	return verdict{checkDraining, good, "ok"}
}

// coherent: the caches may be trusted. Where they may not, reads go to the database; where that is away for all pods,
// taking them all out of service helps no user.
func (h *Handler) coherent() verdict {
	if h.bus.Fresh() {
		return verdict{checkBus, good, h.bus.State().String()}
	}
	v := verdict{checkBus, degraded, h.bus.State().String()}
	if h.cfg.Strict {
		v.state = failed
	}
	return v
}

// ready reports whether the bus has been in sync; one without Ready always has.
func (h *Handler) ready() bool {
	b, ok := h.bus.(interface{ Ready() <-chan struct{} })
	if !ok {
		return true
	}
	select {
	case <-b.Ready():
		return true
	default:
		return false
	}
}

func plainText(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write([]byte(text)) // the client may be gone
}
