package status

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"
)

// series is the past in steps of one length.
type series struct {
	step time.Duration
	keep int

	begun  point // of the step that is under way
	oldest *float64
	line   []sample // oldest first
}

// newSeries are what is kept beyond the live line: an hour in steps of 10 seconds, a day in steps of 2 minutes.
func newSeries() []*series {
	return []*series{{step: 10 * time.Second, keep: 360}, {step: 2 * time.Minute, keep: 720}}
}

// add takes a reading.
func (s *series) add(now point) {
	if s.begun.at.IsZero() {
		s.begun = now
		return
	}
	if age := now.fresh; age != nil && (s.oldest == nil || *age > *s.oldest) {
		s.oldest = age
	}
	if now.at.Sub(s.begun.at) < s.step {
		return
	}

	point := between(s.begun, now)
	point.Fresh = s.oldest
	s.line = append(s.line[max(0, len(s.line)-s.keep+1):], point)
	s.begun, s.oldest = now, nil
}

// history is the past of one pod, from its memory.
type history struct {
	Hour []sample `json:"hour"`
	Day  []sample `json:"day"`
}

func (t *tracker) history() history {
	t.mu.Lock()
	defer t.mu.Unlock()
	return history{Hour: clone(t.series[0].line), Day: clone(t.series[1].line)}
}

// clone never returns nil, which would be a null in JSON.
func clone(line []sample) []sample { return append([]sample{}, slices.Clip(line)...) }

// history responds with the past of this pod.
func (h *Handler) history(w http.ResponseWriter, _ *http.Request) {
	text, err := json.Marshal(h.tracker.history())
	if err != nil {
		refuse(w, http.StatusInternalServerError, err)
		return
	}
	sendJSON(w, text)
}
