package status

import (
	"html/template"
	"net/http"
	"time"
)

// plain is the status without JavaScript: made by the server, and fetched again by the browser every few seconds.
func (h *Handler) plain(w http.ResponseWriter, r *http.Request) {
	h.render(w, http.StatusOK, "plain.html", h.report(h.probe.look(r.Context())))
}

// templateFuncs are what the pages call.
var templateFuncs = template.FuncMap{
	"ago": agoOf, "word": wordOf, "since": func(t time.Time) string { return time.Since(t).Round(time.Second).String() }, "head": headOf,
}

// pageHead is what head.html shows, the beginning of every page that is made for its request.
type pageHead struct {
	Root  string // leads to the live page
	Title string
}

func headOf(root, title string) pageHead { return pageHead{root, title} }

// agoOf is the age of a pod's last beat.
func agoOf(p Pod) string {
	return time.Duration(p.BeatAgeSeconds * float64(time.Second)).Round(100 * time.Millisecond).String()
}

// wordOf is the condition of a pod in the words of the live page.
func wordOf(p Pod) string {
	switch {
	case p.Condition == ConditionLost && p.ReplacedBy != "":
		return "replaced by " + p.ReplacedBy
	case p.Condition == ConditionDegraded && p.State != "live":
		return p.State
	}
	return map[Condition]string{
		ConditionLive: "in sync", ConditionDegraded: "degraded", ConditionStale: "stale", ConditionLost: "lost", ConditionLeft: "ended",
	}[p.Condition]
}
