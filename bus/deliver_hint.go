package bus

import (
	"strings"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// hintPrefix begins a payload that is a hint: a version that no message has, the topic, and the key.
const hintPrefix = "0 hint "

// HintTo implements hook.Hinter. It is bounded by what bounds announcements: where they are so many that the pods hold
// theirs back, no hints are sent.
func (i insider) HintTo(topic string) (channel, prefix string, ok bool) {
	p := i.p
	if p.State() != Live || strings.Contains(topic, " ") || p.applier.status().heard.pace.hold(time.Now()) > 0 {
		return "", "", false
	}
	return p.channel(), hintPrefix + topic + " ", true
}

// hint passes a hint on, and reports whether the payload is one. It costs no authentication, because it can do no harm:
// only subscribers of this project get it, and they look for themselves.
func (r *registry) hint(payload string) bool {
	rest, ok := strings.CutPrefix(payload, hintPrefix)
	if !ok {
		return false
	}

	topic, key, ok := strings.Cut(rest, " ")
	if !ok {
		return false
	}

	for _, s := range r.of(topic) {
		if h, ok := s.subscriber.(hook.Hinted); ok {
			h.Hint(hook.Token{}, key)
		}
	}

	return true
}
