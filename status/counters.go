package status

import (
	"errors"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// counters are what the handler itself counts.
type counters struct {
	refusals *prometheus.CounterVec
	actions  *prometheus.CounterVec
	searches prometheus.Counter
}

// The reasons of refused_total.
var refusalReasons = []string{"closed", "no token", "wrong token", "not allowed", "too many", "action"}

func newCounters() counters {
	c := counters{
		refusals: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pgcoherence_status_refused_total", Help: "Requests that were refused, by reason.",
		}, []string{"reason"}),
		actions: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "pgcoherence_status_actions_total", Help: "Actions of people that were allowed, by result.",
		}, []string{"action", "result"}),
		searches: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "pgcoherence_status_searches_total", Help: "Searches for keys, sessions and leases.",
		}),
	}
	for _, reason := range refusalReasons {
		c.refusals.WithLabelValues(reason)
	}

	for _, kind := range actionKinds {
		for _, result := range []string{"done", "failed"} {
			c.actions.WithLabelValues(string(kind), result)
		}
	}

	return c
}

func reasonOf(err error) string {
	switch {
	case errors.Is(err, errClosed):
		return "closed"
	case errors.Is(err, errNoToken):
		return "no token"
	case errors.Is(err, errWrongToken):
		return "wrong token"
	case errors.Is(err, errTooMany):
		return "too many"
	}
	return "not allowed"
}

// up leads from the path of a request to the page at the handler's root, below whatever prefix the client sees.
func (h *Handler) up(r *http.Request) string {
	depth := strings.Count(strings.Trim(r.URL.Path, "/"), "/")
	return "./" + strings.Repeat("../", depth)
}
